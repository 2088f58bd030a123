package main

import (
	"fmt"
	"io"
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
	return eventTable.write(w, events)
}

var eventTable = table[trace.Event]{
	number("event", func(e *trace.Event) string { return fmt.Sprint(e.Seq) }),
	text("at", func(e *trace.Event) string { return time.Unix(0, e.Time).Format("15:04:05.000000") }),
	text("layer", func(e *trace.Event) string { return e.Layer }),
	text("what", func(e *trace.Event) string { return e.Kind }),
	text("who", func(e *trace.Event) string { return tail(e.Peer) }),
	text("task", func(e *trace.Event) string { return e.Task }),
	number("n", func(e *trace.Event) string {
		if e.N == 0 {
			return ""
		}
		return fmt.Sprint(e.N)
	}),
	text("text", func(e *trace.Event) string { return e.Text }),
}

// tail is the end of a long name, which tells it from others.
func tail(name string) string {
	if len(name) > 12 {
		return "…" + name[len(name)-12:]
	}
	return name
}
