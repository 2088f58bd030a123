package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/id"
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
	return taskTable.write(w, rows)
}

var taskTable = table[waits.Row]{
	text("state", func(r *waits.Row) string { return r.State }),
	text("function", func(r *waits.Row) string { return r.Func }),
	count("tasks", (*waits.Row).Tasks),
	number("process", func(r *waits.Row) string { return pidText(r.PID) }),
	text("node", func(r *waits.Row) string { return id.Node(r.Node).Short() }),
	text("job", func(r *waits.Row) string { return r.Job }),
	number("try", try),
	number("for", func(r *waits.Row) string { return ageText(r.AgeSec) }),
	text("task", func(r *waits.Row) string {
		if strings.Trim(r.Task, "0") == "" { // a placement group
			return ""
		}
		return r.Task
	}),
	text("waits for", waitsFor),
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

// alike is what tasks have in common that are told of together.
type alike struct {
	fn, node, job, why, chain string
	pid                       int
}

// writeWaiting prints the rows that wait and, below each, for what. Rows that wait for the same in one place are one.
func writeWaiting(w io.Writer, rows []waits.Row) error {
	var order []alike
	first := map[alike]waits.Row{}
	for _, r := range rows {
		if r.State != waits.Waiting {
			continue
		}
		k := alike{r.Func, r.Node, r.Job, r.Why, strings.Join(r.Chain, "\n"), r.PID}
		f, more := first[k]
		if !more {
			order = append(order, k)
			r.Count = r.Tasks()
		} else {
			r.Count, r.AgeSec = f.Count+r.Tasks(), max(f.AgeSec, r.AgeSec)
		}
		first[k] = r
	}
	for _, k := range order {
		r := first[k]
		where := "node " + id.Node(r.Node).Short()
		if r.PID != 0 {
			where = fmt.Sprintf("process %d on %s", r.PID, where)
		}
		fmt.Fprintf(w, "%s  %s, job %s", r.Func, where, r.Job)
		if r.Count > 1 {
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
	if len(order) == 0 {
		fmt.Fprintln(w, "no task waits")
	}
	return nil
}

func newListJobs() *cobra.Command {
	return lookCommand("jobs", "List the jobs: their drivers, and what became of their tasks", `Lists the jobs that the nodes of the cluster know: the process that is the driver,
how many tasks ran, failed, and are not done yet, and how many objects of it are in
the nodes' stores. How many ran is about: of functions that take microseconds one
run in 64 is counted and stands for 64. A job is listed until its driver has ended.`, ask.Jobs, jobTable.write)
}

var jobTable = table[node.JobStatus]{
	text("job", func(j *node.JobStatus) string { return j.Job }),
	number("driver", func(j *node.JobStatus) string { return pidText(j.PID) }),
	text("node", func(j *node.JobStatus) string { return j.Home.Short() }),
	number("up", func(j *node.JobStatus) string { return ageText(j.AgeSec) }),
	number("ran", func(j *node.JobStatus) string { return fmt.Sprint(j.Done) }),
	number("failed", func(j *node.JobStatus) string { return fmt.Sprint(j.Failed) }),
	count("running", func(j *node.JobStatus) int { return j.Running }),
	count("waiting", func(j *node.JobStatus) int { return j.Waiting }),
	count("queued", func(j *node.JobStatus) int { return j.Queued }),
	count("objects", func(j *node.JobStatus) int { return j.Objects }),
	number("bytes", func(j *node.JobStatus) string { return bytesText(j.Bytes) }),
}

func newListWorkers() *cobra.Command {
	return lookCommand("workers", "List the worker processes of all nodes: what they run, their memory", `Lists the worker processes that the nodes of the cluster have started: of which job,
what for (shared: many tasks of the job; task, actor: one of its own), what they run,
how many tasks wait in them, how many placed tasks and actors they have, and their
resident memory, that of the object store as far as they touched it included. Tasks
that run in their driver's own process need none.`, ask.Workers, workerTable.write)
}

var workerTable = table[node.ProcessStatus]{
	number("process", func(p *node.ProcessStatus) string { return pidText(p.PID) }),
	text("node", func(p *node.ProcessStatus) string { return p.Node.Short() }),
	text("job", func(p *node.ProcessStatus) string { return p.Job }),
	text("kind", func(p *node.ProcessStatus) string { return p.Kind }),
	text("state", func(p *node.ProcessStatus) string { return p.State }),
	number("up", func(p *node.ProcessStatus) string { return ageText(p.AgeSec) }),
	number("memory", func(p *node.ProcessStatus) string { return bytesText(p.Memory) }),
	count("queued", func(p *node.ProcessStatus) int { return p.Queued }),
	count("placed", func(p *node.ProcessStatus) int { return p.Placed }),
	text("function", func(p *node.ProcessStatus) string { return cmp.Or(strings.Join(p.Running, " "), p.Func) }),
}

func newListActors() *cobra.Command {
	return lookCommand("actors", "List the actors of all nodes: where they live, what they do", `Lists the living actors of all jobs: their names, those of a namespace other than
"default" as namespace/name, the constructor that made them, whether a call runs or
waits, and how many calls wait for it to return.`, ask.Actors, actorTable.write)
}

var actorTable = table[waits.Actor]{
	text("actor", func(a *waits.Actor) string { return a.ID }),
	text("name", nameText),
	text("class", func(a *waits.Actor) string { return a.Class }),
	text("state", func(a *waits.Actor) string { return a.State }),
	number("process", func(a *waits.Actor) string { return pidText(a.PID) }),
	text("node", func(a *waits.Actor) string { return id.Node(a.Node).Short() }),
	text("job", func(a *waits.Actor) string { return a.Job }),
	count("queued", func(a *waits.Actor) int { return a.Queued }),
	text("runs", func(a *waits.Actor) string { return a.Running }),
}

// bundleRow is a bundle of a placement group.
type bundleRow struct {
	*node.GroupStatus
	i int
}

func newListGroups() *cobra.Command {
	return lookCommand("groups", "List the placement groups of all nodes: what their bundles have, and what of it is used", `Lists the placement groups of all jobs, each with a line for every bundle: how much of
its resources the tasks and actors in it have taken. A group that waits has nothing
yet; the last column says what is not free.`, ask.Groups, func(w io.Writer, rows []node.GroupStatus) error {
		var bundles []bundleRow
		for k := range rows {
			for i := range rows[k].Bundles {
				bundles = append(bundles, bundleRow{&rows[k], i})
			}
		}
		return bundleTable.write(w, bundles)
	})
}

var bundleTable = table[bundleRow]{
	text("group", func(b *bundleRow) string { return b.Short() }),
	count("bundle", func(b *bundleRow) int { return b.i }),
	text("used", func(b *bundleRow) string { return b.Bundles[b.i].String() }),
	text("state", func(b *bundleRow) string { return b.State }),
	number("for", func(b *bundleRow) string { return ageText(b.AgeSec) }),
	text("strategy", func(b *bundleRow) string { return b.Strategy }),
	text("node", func(b *bundleRow) string { return b.Node.Short() }),
	text("job", func(b *bundleRow) string { return b.Job }),
	text("waits for", func(b *bundleRow) string { return b.Why }),
}

// nameText is the name of an actor, with its namespace where that is not the default one.
func nameText(a *waits.Actor) string {
	if a.Name == "" || a.Namespace == wire.DefaultNamespace {
		return a.Name
	}
	return a.Namespace + "/" + a.Name
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
