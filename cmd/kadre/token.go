package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/p2p"
)

func newToken() *cobra.Command {
	token := &cobra.Command{
		Use:   "token",
		Short: "Make cluster tokens",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	token.AddCommand(&cobra.Command{
		Use:   "new",
		Short: "Print a new cluster token",
		Long: `Prints a new cluster token. Whoever has it can run code on all nodes of the
cluster, so keep it in a file that only you can read:

  (umask 077 && kadre token new > cluster.token)
  kadre start --token-file cluster.token`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), p2p.NewToken())
			return err
		},
	})
	return token
}
