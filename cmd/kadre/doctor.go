package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/objstore/arena"
)

// What doctor finds enough.
const (
	trialArena = 16 << 20 // bytes of the arena that is made to see what it lies on
	enoughFD   = 1024     // descriptors of a process
)

// finding is what one look at this machine gave.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"`
}

func newDoctor() *cobra.Command {
	var asJSON bool
	var cluster, socket string
	var r reach
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what this machine offers, and what is missing",
		Long: `Looks at what nodes and programs need on this machine and says what was found
and what to do about it. Where a node runs it says which others that one does not
reach, and why. With --join it tries an address as a node that joins would: whether
anybody listens, is a node of this version and cluster, and has the same token.
Exits with 1 where something keeps Kadre from working;
advice alone is no failure.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnv(cmd.Flags(), "cluster", "token-file"); err != nil {
				return err
			}
			found := append(examine(cmd.Context(), socket, cluster), examineJoin(cmd.Context(), cluster, r)...)
			out := cmd.OutOrStdout()
			write := writeFindings
			if asJSON {
				write = func(w io.Writer, found []finding) error { return json.NewEncoder(w).Encode(found) }
			}
			if err := write(out, found); err != nil {
				return err
			}
			for _, f := range found {
				if !f.OK {
					return errors.New("doctor: Kadre does not work here as it is; see above")
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	cmd.Flags().StringVar(&r.join, "join", "", "an address that a node could be told to join: why can it not?")
	cmd.Flags().StringVar(&r.tokenFile, "token-file", "", "file with the cluster's token, for --join, or $KADRE_TOKEN_FILE (default: this user's secret)")
	cmd.Flags().StringVar(&socket, "socket", "", "the socket of the node whose store is checked (default $KADRE_SOCKET, else the cluster's oldest node on this machine)")
	cmd.Flags().StringVar(&cluster, "cluster", "default", "the cluster to look for, or $KADRE_CLUSTER")
	return cmd
}

func examine(ctx context.Context, socket, cluster string) []finding {
	found := []finding{examineRuntime(cluster)}
	found = append(found, examineArena()...)
	found = append(found, examineNode(ctx, socket, cluster)...)
	return append(found, examineWorkers(), examineFDs(), finding{Check: "CPUs", OK: true, Found: fmt.Sprint(runtime.GOMAXPROCS(0))})
}

func examineRuntime(cluster string) finding {
	f := finding{Check: "runtime folder"}
	socket, err := node.FindNode(cluster)
	switch {
	case err != nil:
		f.Found = err.Error()
	case socket == "":
		f.OK, f.Found = true, "usable; no node is running"
	default:
		f.OK, f.Found = true, "usable; the oldest node is at "+socket
	}
	return f
}

// examineNode has the node that commands would ask check its store, and the others theirs; nothing where none runs.
func examineNode(ctx context.Context, named, cluster string) []finding {
	socket, err := ask.Socket(named, cluster)
	if err != nil {
		return nil // examineRuntime told
	}
	var me node.Status
	if err := ask.Into(ctx, socket, ask.Status, &me); err != nil {
		return []finding{{Check: "node's store", Found: err.Error()}}
	}
	var found, stopped []finding
	others, objects := 0, 0
	for _, m := range me.Members {
		if m.State != "alive" {
			continue
		}
		var f node.Fsck
		err := ask.Into(ctx, socket, ask.At(m.ID, ask.Fsck), &f)
		store := storeFinding(m.ID, f, err)
		stopped = append(stopped, stoppedFindings(m.ID, f)...)
		switch {
		case m.ID == me.Node:
			store.Check = "node's store"
		case store.OK:
			others, objects = others+1, objects+f.Objects
			continue
		case err != nil:
			store.OK, store.Advice = true, "look at it on its own machine"
		}
		found = append(found, store)
	}
	if others > 0 {
		found = append(found, finding{Check: "other stores", OK: true, Found: fmt.Sprintf("%d objects, and every invariant holds, on %d beside this node", objects, others)})
	}
	return append(append(found, stopped...), examinePeers(me)...)
}

// stoppedFindings names the processes that keep objects because they stand still.
func stoppedFindings(at id.Node, f node.Fsck) (found []finding) {
	for _, p := range f.Stopped {
		found = append(found, finding{Check: "stopped process", OK: true,
			Found:  fmt.Sprintf("%s %d on %s holds %d objects, which stay in memory", p.Kind, p.PID, at.Short(), p.Objects),
			Advice: fmt.Sprintf("let it go on (kill -CONT %d) or end it; a worker is ended by itself when the store needs the memory", p.PID)})
	}
	return found
}

// storeFinding is what a node found in its store.
func storeFinding(at id.Node, f node.Fsck, err error) finding {
	store := finding{Check: "store of " + at.Short(), OK: err == nil && len(f.Problems) == 0}
	switch {
	case err != nil:
		store.Found = err.Error()
	case !store.OK:
		store.Found = fmt.Sprintf("%d objects on %s memory; broken: %s", f.Objects, f.Backing, strings.Join(f.Problems, "; "))
		store.Advice = "this is a bug: keep the output of 'kadre memory --json', then restart the node"
	default:
		store.Found = fmt.Sprintf("%d objects on %s memory, every invariant holds", f.Objects, f.Backing)
		if len(f.Why) > 0 {
			store.Advice = "no better memory, because: " + strings.Join(f.Why, "; ")
		}
	}
	return store
}

// examineArena makes a small arena.
func examineArena() []finding {
	a, err := arena.Create(arena.Config{Size: trialArena})
	if err != nil {
		return []finding{{Check: "shared memory", Found: err.Error()}}
	}
	b := a.Backing()
	pages := finding{Check: "shared memory", OK: true, Found: b.Kind}
	if b.Kind != shm.KindHuge {
		pages.Advice = "no huge pages, so the first use of memory is several times slower: " + strings.Join(b.Why, "; ")
	}
	seal := finding{Check: "sealed objects", OK: true, Found: "a write through an Array's old slice faults"}
	if !a.Protects() {
		seal.Found = "a write through an Array's old slice would damage the object"
		seal.Advice = "set KADRE_CHECK=seal while testing"
	}
	found := []finding{pages, seal, {Check: "object store", OK: true, Found: bytesText(arena.DefaultSize()) + " unless told otherwise"}}
	if err := a.Close(); err != nil {
		found = append(found, finding{Check: "unmapping", Found: err.Error()})
	}
	return found
}

// examineWorkers says what holds the memory of workers down here.
func examineWorkers() finding {
	f := finding{Check: "workers' memory", OK: true}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &l); err != nil || runtime.GOOS != "linux" {
		f.Found = "nothing limits it on this system"
		return f
	}
	f.Found = "watched, and bounded by what each may map (RLIMIT_DATA), where --resources memory=BYTES or HeapMemory says how much it may be"
	if l.Cur != math.MaxUint64 {
		f.Found += "; no process started from here may map more than " + bytesText(int64(min(l.Cur, math.MaxInt64)))
	}
	f.Found += fmt.Sprintf("; %s are free here now", bytesText(arena.Spare()))
	return f
}

func examineFDs() finding {
	f := finding{Check: "open files", OK: true}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		f.Found = err.Error()
		return f
	}
	f.Found = fmt.Sprint(l.Cur)
	if l.Cur < enoughFD {
		f.Advice = fmt.Sprintf("a node with many peers and programs needs more: ulimit -n %d", enoughFD)
	}
	return f
}

func writeFindings(w io.Writer, found []finding) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range found {
		mark := "ok"
		switch {
		case !f.OK:
			mark = "BAD"
		case f.Advice != "":
			mark = "note"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", mark, f.Check, f.Found)
		if f.Advice != "" {
			fmt.Fprintf(tw, "\t\t%s\n", f.Advice)
		}
	}
	return tw.Flush()
}
