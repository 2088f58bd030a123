package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/node"
)

const (
	followEvery = 300 * time.Millisecond
	maxTail     = 100_000
	lineGuess   = 200 // bytes of a line, to begin with
)

// logsCommand has the flags of kadre logs.
type logsCommand struct {
	look
	job    string
	pid    int
	lines  int
	follow bool
}

func newLogs() *cobra.Command {
	var c logsCommand
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "What workers wrote: the last lines of each, on all nodes",
		Long: `Prints the last lines that the worker processes of all nodes wrote, also those
that have ended, each line with process and node. --job and --pid choose; --follow
goes on until Ctrl-C, with workers that start meanwhile. With --json it lists the
files. A driver gets the same lines on its standard error, up to 1,000 a second;
a node keeps at least the last 16 MiB of each worker.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.lines < 1 || c.lines > maxTail {
				return usagef("--lines %d: want 1 to %d", c.lines, maxTail)
			}
			return c.run(cmd)
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.job, "job", "", "only workers of this job, or whose job begins or ends with this (see 'kadre list jobs')")
	f.IntVar(&c.pid, "pid", 0, "only the worker of this number")
	f.IntVarP(&c.lines, "lines", "n", 100, "how many lines of each worker, at most")
	f.BoolVarP(&c.follow, "follow", "f", false, "go on with what comes")
	return cmd
}

// logAt is how far a log has been printed.
type logAt struct {
	number uint64
	next   int64
	rest   []byte // of a line without an end yet
}

func (c *logsCommand) run(cmd *cobra.Command) error {
	socket, err := c.socketOf(cmd)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	files, err := c.files(ctx, cmd, socket)
	if err != nil {
		return err
	}
	if c.json {
		return c.print(cmd, files)
	}
	at := map[string]*logAt{}
	for first := true; ; first = false {
		for _, f := range files {
			k := string(f.Node) + f.Name
			if at[k] == nil {
				at[k] = &logAt{}
				if !first { // it has come meanwhile: all of it
					at[k].number = 1
				}
			}
			if err := c.copy(ctx, cmd.OutOrStdout(), socket, f, at[k]); err != nil && ctx.Err() == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "process %d on node %s: %v\n", f.PID, f.Node.Short(), err)
			}
		}
		if first && len(files) == 0 && !c.follow {
			fmt.Fprintln(cmd.ErrOrStderr(), c.none())
		}
		if !c.follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
		if files, err = c.files(ctx, cmd, socket); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// none says what it means that there is no log.
func (c *logsCommand) none() string {
	switch {
	case c.pid != 0:
		return fmt.Sprintf("no worker with the number %d has written anything: see 'kadre list workers'; what a driver writes is on its own terminal", c.pid)
	case c.job != "":
		return fmt.Sprintf("no worker of a job %q has written anything: see 'kadre list jobs'; a job whose tasks ran in its driver's process has no logs here", c.job)
	}
	return "no worker has written anything; what tasks write that run in their driver's process is on its terminal"
}

// files lists the logs that were asked for.
func (c *logsCommand) files(ctx context.Context, cmd *cobra.Command, socket string) ([]node.LogFile, error) {
	all := node.List[node.LogFile]{Rows: []node.LogFile{}}
	if err := ask.Into(ctx, socket, ask.Logs, &all); err != nil {
		return nil, err
	}
	for _, s := range all.Silent {
		fmt.Fprintf(cmd.ErrOrStderr(), "node %s is not in it: %s\n", s.Node.Short(), s.Why)
	}
	return slices.DeleteFunc(all.Rows, func(f node.LogFile) bool {
		return c.pid != 0 && f.PID != c.pid || !strings.HasSuffix(f.Job, c.job) && !strings.HasPrefix(f.Job, c.job)
	}), nil
}

// copy prints what a log has beyond what was printed.
func (c *logsCommand) copy(ctx context.Context, w io.Writer, socket string, f node.LogFile, at *logAt) error {
	tail := at.number == 0
	if tail {
		at.next = int64(c.lines) * lineGuess
	}
	for more := true; more && ctx.Err() == nil; {
		var p node.LogPart
		if err := ask.Into(ctx, socket, fmt.Sprintf("%s%s %s %d %d", ask.Log, f.Node, f.Name, at.number, at.next), &p); err != nil {
			return err
		}
		lines := bytes.SplitAfter(append(at.rest, p.Data...), []byte("\n"))
		at.rest = bytes.Clone(lines[len(lines)-1])
		lines = lines[:len(lines)-1]
		if !c.follow && len(at.rest) > 0 {
			lines, at.rest = append(lines, append(at.rest, '\n')), nil
		}
		if tail {
			lines = lines[max(0, len(lines)-c.lines):]
		}
		for _, l := range lines {
			fmt.Fprintf(w, "(pid=%d node=%s) %s", f.PID, f.Node.Short(), l)
		}
		more = p.More && !tail
		at.number, at.next, tail = p.File, p.Next, false
	}
	return nil
}
