package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/internal/trace"
)

func newTimeline() *cobra.Command {
	var l look
	var out string
	var long time.Duration
	cmd := &cobra.Command{
		Use:   "timeline -o FILE",
		Short: "Record what tasks run where and when, for ui.perfetto.dev",
		Long: `Has all processes of all nodes record their tasks for a while and writes a file in
the trace-event format, which https://ui.perfetto.dev and chrome://tracing open:
for each process the tasks that ran at a time on tracks of their own, waits within
them, and arrows from where a task was submitted to where it ran and to who waited
for it. Of functions that take microseconds one task in 64 is recorded.

With --for 0 nothing is turned on, and the file has what processes recorded that
were started with KADRE_TRACE=1 (a driver's workers too): about the last 100,000
things of each that is still there. Recording ends by itself; Ctrl-C ends it
early and writes what is there.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("timeline: say where to write it: -o trace.json")
			}
			if long < 0 || long > time.Hour {
				return usagef("--for %v: want 0 to an hour", long)
			}
			return l.timeline(cmd, out, long)
		},
	}
	l.nodeFlags(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "the file to write")
	cmd.Flags().DurationVar(&long, "for", 5*time.Second, "how long to record")
	return cmd
}

func (l *look) timeline(cmd *cobra.Command, out string, long time.Duration) error {
	socket, err := l.socketOf(cmd)
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return fmt.Errorf("timeline: %w", err)
	}
	defer f.Close()
	seen := map[string]node.Recorder{}
	ctx := cmd.Context()
	if err := recorders(ctx, socket, long, seen); err != nil {
		return err
	}
	wait, stop := interruptible(ctx)
	defer stop()
	if long > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "recording for %v\n", long)
		select {
		case <-wait.Done():
		case <-time.After(long):
		}
	}
	if err := recorders(ctx, socket, 0, seen); err != nil { // those that came meanwhile
		return err
	}
	var all []trace.Recorded
	marks := 0
	for _, r := range seen {
		ms, err := tapeOf(ctx, socket, r)
		if err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "process %d on node %s is not in it: %v\n", r.PID, r.Node.Short(), err)
			continue
		}
		marks += len(ms)
		all = append(all, trace.Recorded{PID: r.PID, Name: fmt.Sprintf("%s %d on %s, job %s", r.Kind, r.PID, r.Node.Short(), r.Job), Marks: ms})
	}
	w := bufio.NewWriter(f)
	if err := trace.Timeline(w, all); err != nil {
		return fmt.Errorf("timeline: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("timeline: %w", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %d marks of %d processes; open it at https://ui.perfetto.dev\n", out, marks, len(all))
	return f.Close()
}

// recorders has processes record for a time, 0: not, and adds them to seen.
func recorders(ctx context.Context, socket string, long time.Duration, seen map[string]node.Recorder) error {
	var rs node.List[node.Recorder]
	if err := ask.Into(ctx, socket, ask.Record+long.String(), &rs); err != nil {
		return err
	}
	for _, r := range rs.Rows {
		seen[r.Proc] = r
	}
	return nil
}

// tapeOf is all that a process recorded.
func tapeOf(ctx context.Context, socket string, r node.Recorder) (all []trace.Mark, err error) {
	for part, parts := 0, 1; part < parts; part++ {
		var t proc.Tape
		if err := ask.Into(ctx, socket, fmt.Sprintf("%s%s %s %d", ask.Tape, r.Node, r.Proc, part), &t); err != nil {
			return nil, err
		}
		all, parts = append(all, t.Marks...), t.Parts
	}
	return all, nil
}
