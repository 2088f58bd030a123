package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/chaos"
)

func newChaos() *cobra.Command {
	var list bool
	var o chaos.Options
	var memory size
	cmd := &cobra.Command{
		Use:   "chaos [PLAN…]",
		Short: "Break things on purpose and check that nothing is lost",
		Long: `Runs plans that kill processes or nodes, or cut a network into parts, and check
that what must hold holds: those named, else all, one after the other, in some
minutes. Exits with 1 and tells what was found if something does
not. --list tells what each plan does, and which flags it looks at.
Plans of whole clusters make network namespaces of their own, which needs root.

The choices follow from the seed, which is printed; the moments of the kills are
the machine's, so that a seed does not repeat a run exactly.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			if list {
				for _, p := range chaos.Plans() {
					fmt.Fprintf(out, "%s\n  %s\n", p.Name, p.Does)
				}
				return nil
			}
			plans := chaos.Plans()
			if len(args) > 0 {
				plans = nil
			}
			for _, name := range args {
				plan, err := chaos.Find(name)
				if err != nil {
					return usageError{err}
				}
				plans = append(plans, plan)
			}
			o.Memory = int64(memory)
			if err := checkChaos(cmd, o); err != nil {
				return err
			}
			if !cmd.Flags().Changed("seed") {
				o.Seed = rand.Uint64()
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			o.Log, o.Progress = out, cmd.ErrOrStderr()
			return runPlans(ctx, plans, o)
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "tell what each plan does, and break nothing")
	f := cmd.Flags()
	f.IntVar(&o.Kills, "kills", chaos.DefaultKills, "how many processes to kill")
	f.IntVar(&o.Runs, "runs", 0, "how many runs, for a plan that has runs (default: the plan's)")
	f.Var(&memory, "memory", "what workers may take together, for a plan about that (default: the plan's)")
	f.IntVar(&o.Nodes, "nodes", 0, "how many nodes to start (default: the plan's)")
	f.IntVar(&o.Share, "share", chaos.DefaultShare, "percent of the nodes that die")
	f.DurationVar(&o.Busy, "busy", chaos.DefaultBusy, "how long to keep all CPUs busy")
	f.DurationVar(&o.Split, "split", chaos.DefaultSplit, "how long to keep the halves apart")
	f.Float64Var(&o.Slack, "slack", 1, "allow so many times the time, on a slow machine")
	f.Uint64Var(&o.Seed, "seed", 0, "of the random choices (default: another one each time)")
	return cmd
}

// runPlans runs plans one after the other, the next ones also where one fails.
func runPlans(ctx context.Context, plans []chaos.Plan, o chaos.Options) error {
	if len(plans) == 1 {
		return plans[0].Run(ctx, o)
	}
	var failed []string
	for _, p := range plans {
		if ctx.Err() != nil {
			return fmt.Errorf("chaos: interrupted before %s", p.Name)
		}
		fmt.Fprintf(o.Log, "== %s\n", p.Name)
		if err := p.Run(ctx, o); err != nil {
			fmt.Fprintf(o.Log, "%s: %v\n", p.Name, err)
			failed = append(failed, p.Name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("chaos: %d of %d plans failed: %s", len(failed), len(plans), strings.Join(failed, ", "))
	}
	return nil
}

// checkChaos checks what the flags say.
func checkChaos(cmd *cobra.Command, o chaos.Options) error {
	switch {
	case o.Kills < 1 || o.Kills > chaos.MaxKills:
		return usagef("--kills %d: want 1 to %d", o.Kills, chaos.MaxKills)
	case cmd.Flags().Changed("runs") && (o.Runs < 1 || o.Runs > chaos.MaxRuns):
		return usagef("--runs %d: want 1 to %d", o.Runs, chaos.MaxRuns)
	case cmd.Flags().Changed("memory") && o.Memory < chaos.MinMemory:
		return usagef("--memory %s: want %s at least", bytesText(o.Memory), bytesText(chaos.MinMemory))
	case cmd.Flags().Changed("nodes") && (o.Nodes < chaos.MinNodes || o.Nodes > chaos.MaxNodes):
		return usagef("--nodes %d: want %d to %d", o.Nodes, chaos.MinNodes, chaos.MaxNodes)
	case o.Share < chaos.MinShare || o.Share > chaos.MaxShare:
		return usagef("--share %d: want %d to %d", o.Share, chaos.MinShare, chaos.MaxShare)
	case o.Busy <= 0 || o.Busy > time.Hour:
		return usagef("--busy %v: want more than 0 and at most an hour", o.Busy)
	case o.Split <= 0 || o.Split > time.Hour:
		return usagef("--split %v: want more than 0 and at most an hour", o.Split)
	case !(o.Slack > 0) || o.Slack > chaos.MaxSlack:
		return usagef("--slack %v: want more than 0 and at most %d", o.Slack, chaos.MaxSlack)
	}
	return nil
}
