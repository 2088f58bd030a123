package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/trace"
)

func newStatus() *cobra.Command {
	var l look
	var events bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "What a node of this machine does, or did lately",
		Long: `Tells what a running node of this machine knows and does: its members and how
it found them, CPUs, store, directory, steals and bytes moved. With --events the
last things that it did and that the processes at it did, oldest first.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if events {
				var es []trace.Event
				return l.show(cmd, ask.Events, &es, func(w io.Writer) error { return writeEvents(w, es) })
			}
			var s node.Status
			return l.show(cmd, ask.Status, &s, func(w io.Writer) error {
				_, err := io.WriteString(w, s.String())
				return err
			})
		},
	}
	l.flags(cmd)
	cmd.Flags().BoolVar(&events, "events", false, "the node's last events instead")
	return cmd
}

func writeEvents(w io.Writer, events []trace.Event) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range events {
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\t", e.Seq, time.Unix(0, e.Time).Format("15:04:05.000000"), e.Layer, e.Kind, tail(e.Peer), tail(e.Task))
		if e.N != 0 {
			fmt.Fprintf(tw, "%d ", e.N)
		}
		fmt.Fprintln(tw, e.Text)
	}
	return tw.Flush()
}

// tail is the end of a long name, which tells it from others.
func tail(name string) string {
	if len(name) > 12 {
		return "…" + name[len(name)-12:]
	}
	return name
}
