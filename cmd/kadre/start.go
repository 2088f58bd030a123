package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/testnet"
)

// drainWithin bounds the drain that the first SIGTERM begins.
const drainWithin = 5 * time.Minute

func newStart() *cobra.Command {
	var c node.Config
	var memory size
	var resources amounts
	var labels pairs
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run a node in the foreground until SIGTERM, which drains it",
		Long: `Runs a node in the foreground. When it serves, it prints one line of JSON:

  {"ready":true,"node":"…","addrs":["…"],"socket":"…"}

Without a token the node listens on loopback only, and meets the nodes of the
same user and machine by itself. With one ('kadre token new') it listens on all
addresses and meets the nodes of the local network that have the same token;
give others one of its addresses with --join. It remembers the members it met.

SIGTERM or SIGINT drains the node: it takes no new work and ends when what it
has is done or handed over. The second one ends it at once.

Every flag can be given as a variable instead: --token-file as KADRE_TOKEN_FILE.
The flag wins.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnv(cmd.Flags()); err != nil {
				return err
			}
			if cmd.Flags().Changed("cpus") && !(c.CPUs > 0) {
				return usagef("--cpus %v: a node needs more than 0", c.CPUs)
			}
			c.ObjectStoreMemory, c.Resources, c.Labels = int64(memory), resources, labels
			c.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			return start(cmd, c)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.Cluster, "cluster", "default", "name of the cluster to be a member of")
	f.StringVar(&c.TokenFile, "token-file", "", "file with the cluster's token (default: none; loopback only)")
	f.StringSliceVar(&c.Join, "join", nil, "address of a member: host:port or a multiaddr; a name stands for all its addresses; may be repeated")
	f.StringSliceVar(&c.Listen, "listen", nil, "address to listen on; may be repeated (default: a free port, on all addresses with a token, on loopback without)")
	f.Float64Var(&c.CPUs, "cpus", 0, "CPUs for tasks (default: those Go would use)")
	f.Var(&resources, "resources", "named amounts that tasks may ask for")
	f.Var(&labels, "labels", "names that tasks may ask a node to have")
	f.Var(&memory, "object-store-memory", "size of the object store, such as 8GiB (default: 30% of memory, half of what is free at most)")
	f.StringVar(&c.SpillDir, "spill-dir", "", "existing folder in which the node keeps objects that do not fit into memory (default: in the state folder)")
	f.StringVar(&c.StateDir, "state-dir", "", "folder of the node's key, logs and fetched executables (default: one of its own under ~/.local/state/kadre)")
	f.StringVar(&c.Socket, "socket", "", "path of the socket that programs attach to (default: in the runtime folder)")
	f.StringVar(&c.Metrics, "metrics", "", "address, host:port, to serve metrics on for Prometheus, at /metrics (default: none; who reaches it can read them)")
	f.BoolVar(&c.NoMDNS, "no-mdns", false, "do not look for members on the local network (with a token a node does, by multicast DNS)")
	f.StringVar(&c.DenyFile, "deny-file", "", "file with IDs of nodes to keep out, one a line; it is read again when it changes")
	return cmd
}

// ready is the line that says that a node serves.
type ready struct {
	Ready  bool     `json:"ready"`
	Node   string   `json:"node"`
	Addrs  []string `json:"addrs"`
	Socket string   `json:"socket"`
}

func start(cmd *cobra.Command, c node.Config) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	starting, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	started := make(chan struct{})
	stopped := make(chan struct{}) // the goroutine below has ended
	go func() {
		defer close(stopped)
		select {
		case s := <-signals:
			signals <- s // for the wait further down, should the start have been quicker
			cancel()
		case <-started:
		}
	}()
	n, err := node.Start(starting, c)
	close(started)
	<-stopped
	if err != nil {
		return err
	}
	addrs := n.Addrs()
	if addrs == nil {
		addrs = []string{}
	}
	line, err := json.Marshal(ready{true, string(n.ID()), addrs, n.Socket()})
	if err == nil {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), string(line))
	}
	if err != nil { // nobody can know where the node is
		n.Close()
		return fmt.Errorf("printing the ready line: %w", err)
	}

	if testnet.Asked() {
		go testnet.Serve(cmd.Context(), n, cmd.InOrStdin(), cmd.OutOrStdout()) // it ends with the process
	}
	select {
	case s := <-signals:
		c.Logger.Info("draining; a second signal ends the node at once", "signal", s.String())
	case <-n.Done(): // somebody asked it to drain
	}
	draining, cancel := context.WithTimeout(cmd.Context(), drainWithin)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- n.Drain(draining) }()
	select {
	case err = <-drained:
	case s := <-signals:
		c.Logger.Info("ending at once", "signal", s.String())
		cancel()
		<-drained
	}
	if e := n.Close(); e != nil {
		err = e
	}
	return err
}
