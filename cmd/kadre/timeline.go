package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
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
things of each. A process that ends leaves what it recorded with its node, which
keeps it for ten minutes; one that is killed takes it along, and so does a program
with a node of its own inside ('kadre start' one first). Recording ends by itself;
Ctrl-C ends it early and writes what is there.`,
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
	if f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE, 0o666); err != nil { // before anybody waits for it
		return fmt.Errorf("timeline: %w", err)
	} else if err := f.Close(); err != nil {
		return fmt.Errorf("timeline: %w", err)
	}
	ctx := cmd.Context()
	r, err := ask.StartRecording(ctx, socket, long)
	if err != nil {
		return err
	}
	if long > 0 {
		wait, stop := interruptible(ctx)
		fmt.Fprintf(cmd.ErrOrStderr(), "recording for %v\n", long)
		select {
		case <-wait.Done():
		case <-time.After(long):
		}
		stop()
	}
	marks, processes, err := r.Write(ctx, out, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %d marks of %d processes; open it at https://ui.perfetto.dev\n", out, marks, processes)
	if marks == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "no task began or waited meanwhile, and those that ran all along are not in it: run a program meanwhile, or start it with KADRE_TRACE=1 and ask with --for 0")
	}
	return nil
}
