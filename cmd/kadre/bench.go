package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/bench"
)

// maxSamples bounds --samples.
const maxSamples = 1000

func newBench() *cobra.Command {
	var list, asJSON, tracing bool
	var samples int
	cmd := &cobra.Command{
		Use:   "bench [NAME…]",
		Short: "Measure this runtime against plain Go on this machine",
		Long: `Measures rows of the benchmark table: those named, else all but the ones that
say in --list that they have to be named. A NAME is a suite ("walk"), a row
("task-sync") or both ("walk/task-sync").

Each row runs its exact work and the same work in plain Go in turn, and shows
the medians and their ratio; where less is better, below 1 means faster than
plain Go. The column "others" is how many cores other programs used meanwhile:
a row taken while it was high is worth little.`,
		RunE: func(cmd *cobra.Command, names []string) error {
			rows, err := bench.Find(bench.Scenarios(), names...)
			if err != nil {
				return usageError{err}
			}
			if cmd.Flags().Changed("samples") && (samples < bench.MinSamples || samples > maxSamples) {
				return usagef("--samples %d: want %d to %d", samples, bench.MinSamples, maxSamples)
			}
			if tracing {
				if rows = bench.Traced(rows); len(rows) == 0 {
					return usagef("--tracing: none of the rows is of suite local")
				}
			}
			out := cmd.OutOrStdout()
			if list {
				if len(names) == 0 && !tracing {
					rows = bench.Scenarios() // also those that are measured only when they are named
				}
				return bench.WriteList(out, rows)
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			var done []bench.Row
			for _, s := range rows {
				if !asJSON {
					fmt.Fprintf(cmd.ErrOrStderr(), "measuring %s/%s …\n", s.Bench, s.Name)
				}
				row, err := bench.Measure(ctx, s, samples)
				if err != nil {
					return err
				}
				if asJSON {
					if err := row.WriteJSON(out); err != nil {
						return err
					}
				}
				done = append(done, row)
			}
			if asJSON {
				return nil
			}
			return bench.WriteTable(out, done)
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "tell each row's exact work, and measure nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per row and line")
	cmd.Flags().BoolVar(&tracing, "tracing", false, "compare rows of suite local with tracing on to the same with tracing off")
	cmd.Flags().IntVar(&samples, "samples", 0, "samples of each side (default: the row's own number)")
	return cmd
}
