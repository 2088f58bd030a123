package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/chaos"
)

func newChaos() *cobra.Command {
	var list bool
	var o chaos.Options
	cmd := &cobra.Command{
		Use:   "chaos PLAN",
		Short: "Break things on purpose and check that nothing is lost",
		Long: `Runs a plan that kills processes, at random and at chosen points, and checks
after each kill that nothing leaked and nothing is corrupt. Exits with 1 and tells what was found if
something did, or is. --list tells what each plan does.

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
			if len(args) != 1 {
				return usagef("chaos: want the name of one plan; 'kadre chaos --list' tells which there are")
			}
			plan, err := chaos.Find(args[0])
			if err != nil {
				return usageError{err}
			}
			if o.Kills < 1 || o.Kills > chaos.MaxKills {
				return usagef("--kills %d: want 1 to %d", o.Kills, chaos.MaxKills)
			}
			if !cmd.Flags().Changed("seed") {
				o.Seed = rand.Uint64()
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			o.Log = out
			return plan.Run(ctx, o)
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "tell what each plan does, and break nothing")
	cmd.Flags().IntVar(&o.Kills, "kills", chaos.DefaultKills, "how many processes to kill")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, "of the random choices (default: another one each time)")
	return cmd
}
