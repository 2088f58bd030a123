package node

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/spill"
)

// An owner counts who refers to its objects, and has them freed. When it is gone, the nodes that have copies do so, each for its
// own: half a lease after a death, and every half a lease as long as they have objects without an owner, they ask all processes
// of the cluster who refers to them. One that for a lease had no owner, and that nobody refers to in a round in which
// everybody answered, goes. How it is found that nobody does while references travel: package proc, refer.go.
//
// A reference may be inside a value, where nobody has decoded it. Those in values whose owners live are their owners' to know. For
// the others nodes look into the values that they have, in memory and in files.

const (
	referMost = 4096             // objects in one question
	referFor  = 20 * time.Second // for an answer: a process may be stopped; then nothing is freed
	allNoted  = time.Hour        // that a node without processes has noted what they let go
	downFor   = 10 * time.Minute // a node that is down may be on the other side of a split
	idleShare = 100              // of the time between two rounds that find all in use, one takes one part in so many
	idleMost  = 5 * time.Minute
)

// defaultLease is how long an object without an owner stays at least: messages of who is gone may still be on their way.
const defaultLease = 30 * time.Second

// leaseTime is the default, or what a test sets.
func leaseTime() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("KADRE_TEST_LEASE")); err == nil && d > 0 {
		return d
	}
	return defaultLease
}

// orphans is what a node knows of owners that are gone.
type orphans struct {
	died chan struct{} // has an element when somebody has died

	mu    sync.Mutex
	alive map[id.Proc]struct{}  // of other nodes: they own what is named after them
	down  map[id.Node]time.Time // and not up since
}

// orphan is a copy of an object that may have no owner.
type orphan struct {
	id      id.Object
	attempt uint32
	held    bool
}

// bury notes deaths.
func (o *orphans) bury(dead []id.Addr) {
	o.mu.Lock()
	for _, a := range dead {
		if delete(o.alive, a.Proc); a.Proc == 0 {
			clear(o.alive) // which of them were there is not known
			o.down[a.Node] = time.Now()
		}
	}
	o.mu.Unlock()
	select {
	case o.died <- struct{}{}:
	default:
	}
}

// up takes a node back.
func (o *orphans) up(n id.Node) {
	o.mu.Lock()
	delete(o.down, n)
	o.mu.Unlock()
}

// split says whether more nodes are away than there.
func (o *orphans) split(there int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n, at := range o.down {
		if time.Since(at) > downFor {
			delete(o.down, n)
		}
	}
	return len(o.down) > there
}

func (o *orphans) isAlive(p id.Proc) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.alive[p]
	return ok
}

func (o *orphans) live(p id.Proc) {
	o.mu.Lock()
	o.alive[p] = struct{}{}
	o.mu.Unlock()
}

// freeOrphans frees them, until the node closes.
func (n *Node) freeOrphans() {
	since := map[id.Object]time.Time{}
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.orphans.died:
		}
		pause := n.lease / 2
		for again := true; again; again = len(since) > 0 {
			if !n.orphanPause(pause) {
				return
			}
			begin, idle := time.Now(), false
			since, idle = n.orphanRound(since)
			if pause = n.lease / 2; idle {
				pause = max(pause, min(idleShare*time.Since(begin), idleMost))
			}
		}
	}
}

// orphanPause waits until it is time for the next round: so long, or half a lease after a death. It is false when the node closes.
func (n *Node) orphanPause(pause time.Duration) bool {
	if more := pause - n.lease/2; more > 0 {
		select {
		case <-n.ctx.Done():
			return false
		case <-n.orphans.died:
		case <-time.After(more):
		}
	}
	select {
	case <-n.ctx.Done():
		return false
	case <-time.After(n.lease / 2):
		return true
	}
}

// orphanRound asks once who refers to what has no owner, and frees what nobody does. It gives those that stay, each with the time
// since when it is known to have none, and says whether all of these are in use. Where somebody does not answer it leaves the rest for the next one.
func (n *Node) orphanRound(was map[id.Object]time.Time) (since map[id.Object]time.Time, idle bool) {
	begin := time.Now()
	since, idle = map[id.Object]time.Time{}, true
	all := n.unowned()
	for from := 0; from < len(all); from += referMost {
		part := all[from:min(from+referMost, len(all))]
		m := wire.Refer{IDs: make([]id.Object, len(part)), Round: uint64(begin.UnixNano()), Last: from+referMost >= len(all)}
		for i := range part {
			m.IDs[i] = part[i].id
		}
		ctx, cancel := context.WithTimeout(n.ctx, referFor)
		r, err := n.referred(ctx, n.id, &m, true)
		cancel()
		if err != nil {
			for _, o := range all[from:] {
				since[o.id] = sinceOf(was, o.id, begin)
			}
			return since, false
		}
		sure := r.Noted >= time.Since(begin) && !n.orphans.split(1+len(n.peers()))
		used, owned := setOf(r.Used), setOf(r.Owned)
		var free wire.Free
		for _, o := range part {
			at := sinceOf(was, o.id, begin)
			switch {
			case owned[o.id]:
				if o.id.Index() == 0 {
					n.orphans.live(o.id.Task().Of())
				}
			case sure && !used[o.id] && !o.held && begin.Sub(at) >= n.lease:
				free.IDs, free.Attempts = append(free.IDs, o.id), append(free.Attempts, o.attempt)
			default:
				since[o.id] = at
				idle = idle && (used[o.id] || o.held)
			}
		}
		if len(free.IDs) > 0 {
			n.store.Free(n.ofAttempt(&free))
			n.event("objstore", "orphans-freed", "", int64(len(free.IDs)), "their owners are gone, and nobody refers to them")
			n.log.Info("node: freed objects whose owners are gone and that nobody refers to", "objects", len(free.IDs))
		}
	}
	return since, idle
}

// sinceOf is since when an object is known to have no owner: now at the latest.
func sinceOf(was map[id.Object]time.Time, o id.Object, now time.Time) time.Time {
	if at, ok := was[o]; ok {
		return at
	}
	return now
}

func setOf(ids []id.Object) map[id.Object]bool {
	m := make(map[id.Object]bool, len(ids))
	for _, i := range ids {
		m[i] = true
	}
	return m
}

// unowned lists the objects here whose owner is not a process of this node, or may not be. One that somebody holds is in use, or is
// just being written into a file.
func (n *Node) unowned() (l []orphan) {
	n.arena.List(func(e arena.Entry) bool {
		if e.State == arena.Sealed && n.mayBeOrphan(e.ID) {
			l = append(l, orphan{e.ID, e.Attempt, len(e.Holders) > 0})
		}
		return true
	})
	n.store.EachSpilled(func(i spill.Info) {
		if n.mayBeOrphan(i.ID) {
			l = append(l, orphan{id: i.ID, attempt: i.Attempt})
		}
	})
	return l
}

// mayBeOrphan says whether an object's owner is not known to live. The name of a result is its owner's; what a task made beside that is
// named after the task, and its owner is the process that ran it until the result has come.
func (n *Node) mayBeOrphan(o id.Object) bool {
	if o.Index() > 0 {
		return true
	}
	p := o.Task().Of()
	return (*n.procs.Load())[p] == nil && !n.orphans.isAlive(p)
}

// referFrame answers a node for this one and its processes.
func (n *Node) referFrame(f *wire.Frame) error {
	return n.later(f, func(ctx context.Context, f *wire.Frame) ([]byte, error) {
		var m wire.Refer
		if err := wire.Unmarshal(f.Body, &m); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, referFor)
		defer cancel()
		r, err := n.referred(ctx, f.From.Node, &m, false)
		if err != nil {
			return nil, err
		}
		return wire.Marshal(&r), nil
	})
}

// referred asks the processes of this node, and with all those of the others, a question of a node. Without an error all have answered.
func (n *Node) referred(ctx context.Context, from id.Node, m *wire.Refer, all bool) (r wire.Referred, err error) {
	var to []id.Addr
	for _, p := range *n.procs.Load() {
		to = append(to, p.addr)
	}
	if all {
		for _, peer := range n.peers() {
			to = append(to, id.Addr{Node: peer})
		}
	}
	type answer struct {
		wire.Referred
		err error
	}
	body, answers := wire.Marshal(m), make(chan answer, len(to))
	for _, a := range to {
		go func() {
			var one answer
			b, err := n.ask(ctx, a, wire.KRefer, body)
			if one.err = err; err == nil {
				one.err = wire.Unmarshal(b, &one.Referred)
			}
			answers <- one
		}()
	}
	r.Noted = allNoted
	for range to {
		one := <-answers
		if one.err != nil {
			err = one.err
		}
		r.Noted, r.Used, r.Owned = min(r.Noted, one.Noted), append(r.Used, one.Used...), append(r.Owned, one.Owned...)
	}
	r.Used = append(r.Used, n.insideOthers(from, m)...)
	return r, err
}
