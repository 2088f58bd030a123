package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore"
	"github.com/kadrehq/kadre/objstore/arena"
)

// maxBlamed bounds the processes that are named to who finds no room.
const maxBlamed = 4

// roomFrame makes room in the arena for an object of a process.
func (n *Node) roomFrame(p *process, f *wire.Frame) error {
	var r wire.Room
	if err := wire.Unmarshal(f.Body, &r); err != nil {
		return err
	}
	if p == nil || r.Size < 0 {
		return fmt.Errorf("node: room for %d bytes: only processes of the node get it", r.Size)
	}
	return n.later(f, func(ctx context.Context, _ *wire.Frame) ([]byte, error) {
		return nil, n.outOfMemory(r.Size, n.store.Room(ctx, objstore.Need{Size: r.Size, Any: r.Any}))
	})
}

// outOfMemory makes an error of the store that says that there is no room one which says who has it.
func (n *Node) outOfMemory(size int64, err error) error {
	if !errors.Is(err, objstore.ErrNoRoom) && !errors.Is(err, arena.ErrTooLarge) {
		return err
	}
	total := n.arena.Size()
	free, run := n.arena.Left()
	s := n.store.Spilled()
	return &wire.ErrorRecord{Class: wire.ErrorOutOfMemory, Node: n.id, Sizes: [3]int64{size, total - free, total},
		Text: fmt.Sprintf("object store of node %s: no room for an object of %d bytes: %d of %d bytes are in use, the longest free piece has %d, %d objects of %d bytes are spilled, and nothing more can be: %s: release objects, or give the node a larger --object-store-memory (%v)",
			n.id.Short(), size, total-free, total, run, s.Objects, s.Bytes, n.blame(), err)}
}

// blame says which processes hold most of the arena.
func (n *Node) blame() string {
	type holding struct {
		client, objects int
		bytes           int64
	}
	held := map[int]holding{}
	n.arena.List(func(e arena.Entry) bool {
		for _, c := range e.Holders {
			h := held[c]
			held[c] = holding{c, h.objects + 1, h.bytes + e.Size}
		}
		return true
	})
	pids := map[int]string{0: "the node itself"}
	for _, p := range *n.procs.Load() {
		pids[p.slot] = fmt.Sprintf("process %d", p.pid)
	}
	all := slices.SortedFunc(maps.Values(held), func(a, b holding) int { return cmp.Compare(b.bytes, a.bytes) })
	var said []string
	for _, h := range all[:min(len(all), maxBlamed)] {
		who := pids[h.client]
		if who == "" {
			who = "a process that has ended"
		}
		said = append(said, fmt.Sprintf("%s holds %d objects of %d bytes", who, h.objects, h.bytes))
	}
	if len(said) == 0 {
		return "no process holds any"
	}
	return strings.Join(said, ", ")
}

// mayDrop asks the owner of a copy whether it can do without.
func (n *Node) mayDrop(ctx context.Context, owner id.Addr, c wire.Copied) error {
	b, err := n.ask(ctx, owner, wire.KDrop, wire.Marshal(&c))
	if err != nil {
		return err
	}
	var m wire.IDs
	if err := wire.Unmarshal(b, &m); err != nil {
		return err
	}
	if !slices.Contains(m.IDs, c.ID) {
		return objstore.ErrLastCopy
	}
	return nil
}
