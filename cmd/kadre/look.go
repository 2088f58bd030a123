package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/id"
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

// incomplete says which nodes did not answer.
type incomplete []string

func (i incomplete) Error() string { return "what was told is not complete: " + strings.Join(i, "; ") }

func (i *incomplete) add(n id.Node, why any) {
	*i = append(*i, fmt.Sprintf("node %s: %v", n.Short(), why))
}

// err is nil where all nodes answered.
func (i incomplete) err() error {
	if len(i) == 0 {
		return nil
	}
	return i
}

// fetch is show where into does the asking. What is incomplete is printed, and the command fails.
func (l *look) fetch(cmd *cobra.Command, into func(ctx context.Context, socket string) error, v any, table func(io.Writer) error) error {
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	socket, err := l.socketOf(cmd)
	if err != nil {
		return err
	}
	missing := into(ctx, socket)
	if missing != nil && !errors.As(missing, new(incomplete)) {
		return missing
	}
	if l.json {
		err = l.print(cmd, v)
	} else {
		err = table(cmd.OutOrStdout())
	}
	return cmp.Or(missing, err)
}

// socketOf is the socket of the node to ask.
func (l *look) socketOf(cmd *cobra.Command) (string, error) {
	if err := fromEnv(cmd.Flags(), "cluster"); err != nil {
		return "", err
	}
	return ask.Socket(l.socket, l.cluster)
}

// print writes JSON. What is empty is [] or {} and not null, so that programs find the same in each row.
func (l *look) print(cmd *cobra.Command, v any) error {
	fill(reflect.ValueOf(v))
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// fill makes nil slices and maps within v empty ones.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem())
		}
	case reflect.Slice:
		if v.IsNil() && v.CanSet() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		if v.IsNil() && v.CanSet() {
			v.Set(reflect.MakeMap(v.Type()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}
