package main

import "github.com/spf13/cobra"

func newChaos() *cobra.Command {
	return &cobra.Command{
		Use:   "chaos [PLAN…]",
		Short: "Break a cluster on purpose and check that it holds (no plan exists yet)",
		Long: `Would run plans that kill, stop and part the nodes of a cluster and check that
nothing is lost. No plan exists yet, so this exits with status 2. 'kadre demo'
kills a node while it works and checks the result.`,
		RunE: func(_ *cobra.Command, plans []string) error {
			if len(plans) > 0 {
				return usagef("chaos: there is no plan %q; no plan exists yet", plans[0])
			}
			return usagef("chaos: no plan exists yet")
		},
	}
}
