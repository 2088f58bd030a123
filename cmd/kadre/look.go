package main

import (
	"context"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
)

// look has the flags of commands that ask a node.
type look struct {
	socket, cluster string
	json            bool
}

func (l *look) flags(cmd *cobra.Command) {
	l.nodeFlags(cmd)
	cmd.Flags().BoolVar(&l.json, "json", false, "print JSON")
}

// nodeFlags has the flags that say which node is asked.
func (l *look) nodeFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.socket, "socket", "", "the node's socket (default $KADRE_SOCKET, else the cluster's oldest node on this machine)")
	f.StringVar(&l.cluster, "cluster", "default", "the cluster whose node to ask, or $KADRE_CLUSTER")
}

// show asks for a view, decodes it into v and prints v: as JSON, or with table.
func (l *look) show(cmd *cobra.Command, view string, v any, table func(io.Writer) error) error {
	return l.fetch(cmd, func(ctx context.Context, socket string) error { return ask.Into(ctx, socket, view, v) }, v, table)
}

// fetch is show where into does the asking.
func (l *look) fetch(cmd *cobra.Command, into func(ctx context.Context, socket string) error, v any, table func(io.Writer) error) error {
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	socket, err := l.socketOf(cmd)
	if err != nil {
		return err
	}
	if err := into(ctx, socket); err != nil {
		return err
	}
	if !l.json {
		return table(cmd.OutOrStdout())
	}
	return l.print(cmd, v)
}

// socketOf is the socket of the node to ask.
func (l *look) socketOf(cmd *cobra.Command) (string, error) {
	if err := fromEnv(cmd.Flags(), "cluster"); err != nil {
		return "", err
	}
	return ask.Socket(l.socket, l.cluster)
}

// print writes JSON.
func (l *look) print(cmd *cobra.Command, v any) error {
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
