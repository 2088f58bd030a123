package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/waits"
	"github.com/kadrehq/kadre/internal/wire"
)

// showList asks for a listing of all nodes and prints it: its rows as JSON, or with table. Where a node did not answer
// it says so and fails.
func showList[T any](l *look, cmd *cobra.Command, view string, table func(w io.Writer, rows []T) error, change ...func([]T)) error {
	all := node.List[T]{Rows: []T{}}
	into := func(ctx context.Context, socket string) error {
		if err := ask.Into(ctx, socket, view, &all); err != nil {
			return err
		}
		for _, f := range change {
			f(all.Rows)
		}
		var missing incomplete
		for _, s := range all.Silent {
			missing.add(s.Node, s.Why)
		}
		return missing.err()
	}
	return l.fetch(cmd, into, &all.Rows, func(w io.Writer) error {
		if len(all.Rows) == 0 && view != ask.Waits {
			_, err := fmt.Fprintf(w, "no %s\n", cmd.Name())
			return err
		}
		return table(w, all.Rows)
	})
}

// lookCommand is a command that prints a listing.
func lookCommand[T any](use, short, long, view string, table func(w io.Writer, rows []T) error) *cobra.Command {
	var l look
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return showList(&l, cmd, view, table) }}
	l.flags(cmd)
	return cmd
}

func newListTasks() *cobra.Command {
	var l look
	var waiting bool
	cmd := &cobra.Command{
		Use:   "tasks",
		Short: "List the tasks of all jobs: queued, running or waiting, where and for what",
		Long: `Lists the tasks of all nodes of the cluster that have not ended. Of those that
are queued in one process up to 200 are listed one by one; the others are counted
by function, so that the list is complete with millions of them. A task that has
not left its process has no ID.

With --waiting it lists those that wait, each with the chain of what it waits
for: which task or actor, what that waits for, and so on; or the resource that is
not free and who has it. Tasks that wait for each other are found within some
seconds, and one of them gets an error with the chain ('kadre status --events').

A task counts as waiting when a goroutine that runs it waits in Get, GetAll, Wait,
Completed, for room or for its arguments. One that waits in a way that the runtime
does not see (a lock, a socket, a Get with a context that is not its own) is
running.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if waiting {
				return showList(&l, cmd, ask.Waits, writeWaiting, chained)
			}
			return showList(&l, cmd, ask.Tasks, writeTasks)
		},
	}
	l.flags(cmd)
	cmd.Flags().BoolVar(&waiting, "waiting", false, "only tasks that wait, each with the chain of what it waits for")
	return cmd
}

func writeTasks(w io.Writer, rows []waits.Row) error {
	order := []string{waits.Running, waits.Waiting, waits.Queued}
	slices.SortStableFunc(rows, func(a, b waits.Row) int {
		return slices.Index(order, a.State) - slices.Index(order, b.State)
	})
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "state\tfunction\ttasks\tprocess\tnode\tjob\ttry\tfor\ttask\twaits for")
	for i := range rows {
		r := &rows[i]
		fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.State, r.Func, r.Tasks(), pidText(r.PID), tail(r.Node), tail(r.Job), try(r), ageText(r.AgeSec),
			dash(tail(r.Task)), dash(waitsFor(r)))
	}
	return tw.Flush()
}

// try is which attempt a row is, from 1.
func try(r *waits.Row) string {
	if r.Count > 0 {
		return "-"
	}
	return fmt.Sprint(r.Attempt + 1)
}

// waitsFor is what a row waits for, in short.
func waitsFor(r *waits.Row) string {
	if r.Why != "" {
		return r.Why
	}
	if len(r.For) == 0 {
		return ""
	}
	text := r.For[0].Func
	if n := len(r.For) + r.More; n > 1 && r.Need < n {
		text = fmt.Sprintf("%d of %d, such as %s", r.Need, n, text)
	} else if n > 1 {
		text = fmt.Sprintf("%s and %d more", text, n-1)
	}
	return text
}

// chained tells of each row the chain of what it waits for.
func chained(rows []waits.Row) {
	for i := range rows {
		rows[i].Chain = waits.Chains(rows, &rows[i])
	}
}

// writeWaiting prints each row that waits and, below it, for what.
func writeWaiting(w io.Writer, rows []waits.Row) error {
	n := 0
	for i := range rows {
		r := &rows[i]
		if r.State != waits.Waiting {
			continue
		}
		n++
		where := "node " + tail(r.Node)
		if r.PID != 0 {
			where = fmt.Sprintf("process %d on %s", r.PID, where)
		}
		fmt.Fprintf(w, "%s  %s, job %s", r.Func, where, tail(r.Job))
		if r.Count > 0 {
			fmt.Fprintf(w, ", %d tasks", r.Count)
		}
		if r.AgeSec > 0 {
			fmt.Fprintf(w, ", for %s", ageText(r.AgeSec))
		}
		fmt.Fprintln(w)
		if r.Why != "" {
			fmt.Fprintf(w, "  waits for %s\n", r.Why)
		}
		for _, line := range r.Chain {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
	if n == 0 {
		fmt.Fprintln(w, "no task waits")
	}
	return nil
}

func newListJobs() *cobra.Command {
	return lookCommand("jobs", "List the jobs: their drivers, and what became of their tasks", `Lists the jobs that the nodes of the cluster know: the process that is the driver,
how many tasks ran, failed, and are not done yet, and how many objects of it are in
the nodes' stores. How many ran is about: of functions that take microseconds one
run in 64 is counted and stands for 64.`, ask.Jobs, func(w io.Writer, rows []node.JobStatus) error {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "job\tdriver\tnode\tup\tran\tfailed\trunning\twaiting\tqueued\tobjects\tbytes")
		for _, j := range rows {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", j.Job, pidText(j.PID), j.Home.Short(), ageText(j.AgeSec), j.Done, j.Failed, j.Running, j.Waiting, j.Queued,
				j.Objects, bytesText(j.Bytes))
		}
		return tw.Flush()
	})
}

func newListWorkers() *cobra.Command {
	return lookCommand("workers", "List the worker processes of all nodes: what they run, their memory", "", ask.Workers, func(w io.Writer, rows []node.ProcessStatus) error {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "process\tnode\tkind\tjob\tstate\tup\tmemory\tqueued\tplaced\tfunction")
		for _, p := range rows {
			what := strings.Join(p.Running, " ")
			if what == "" {
				what = p.Func
			}
			fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", p.PID, p.Node.Short(), p.Kind, p.Job, p.State, ageText(p.AgeSec), bytesText(p.Memory), p.Queued, p.Placed, dash(what))
		}
		return tw.Flush()
	})
}

func newListActors() *cobra.Command {
	return lookCommand("actors", "List the actors of all nodes: where they live, what they do", "", ask.Actors, func(w io.Writer, rows []waits.Actor) error {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "actor\tname\tclass\tstate\tprocess\tnode\tjob\tqueued\truns")
		for _, a := range rows {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", a.ID, nameText(&a), a.Class, a.State, pidText(a.PID), tail(a.Node), a.Job, a.Queued, dash(a.Running))
		}
		return tw.Flush()
	})
}

func newListGroups() *cobra.Command {
	return lookCommand("groups", "List the placement groups of all nodes: what their bundles have, and what of it is used", "", ask.Groups, func(w io.Writer, rows []node.GroupStatus) error {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "group\tnode\tjob\tstate\tfor\tstrategy\tbundle\tused")
		for _, g := range rows {
			for i, b := range g.Bundles {
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%v\n", g.Group[:8], g.Node.Short(), g.Job, g.State, ageText(g.AgeSec), g.Strategy, i, b)
			}
		}
		return tw.Flush()
	})
}

// nameText is the name of an actor, with its namespace where that is not the default one.
func nameText(a *waits.Actor) string {
	if a.Name == "" || a.Namespace == wire.DefaultNamespace {
		return dash(a.Name)
	}
	return a.Namespace + "/" + a.Name
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func pidText(pid int) string {
	if pid == 0 {
		return "-"
	}
	return fmt.Sprint(pid)
}

func ageText(sec float64) string {
	d := time.Duration(sec * float64(time.Second))
	switch {
	case d == 0:
		return "-"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
