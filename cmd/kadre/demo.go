package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/demo"
)

func newDemo() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: three nodes, the walkthrough, a word count, a node killed",
		Long: `Starts three nodes on this machine, which find each other, and attaches to one.
Goes through the walkthrough: functions, objects and actors. Then counts the
words of the Go toolchain's sources on all three and compares every count with a
sequential one; and again, while it kills one of the nodes in the middle.

Needs less than a minute. Removes all that it made. Exits with 1 and tells the
difference where something is not as it must be.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			o.Out = cmd.OutOrStdout()
			o.Terminal = isTerminal(o.Out)
			return demo.Run(ctx, o)
		},
	}
	cmd.Flags().StringVar(&o.Corpus, "corpus", "", "folder whose *.go files to count (default: the sources of the installed Go toolchain)")
	cmd.Flags().StringVar(&o.Timeline, "timeline", "", "write what ran where and when into this file, for https://ui.perfetto.dev (see 'kadre timeline')")
	return cmd
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	s, err := f.Stat()
	return err == nil && s.Mode()&os.ModeCharDevice != 0
}
