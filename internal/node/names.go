package node

import (
	"context"
	"fmt"
	"sync"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// maxNames bounds the named actors.
const maxNames = 4096

// nameKey is a name within its namespace.
type nameKey struct{ namespace, name string }

// names are the actors that have names.
type names struct {
	mu   sync.Mutex // a leaf
	held map[nameKey]wire.Named
}

// nameFrame takes a process's question about a name.
func (n *Node) nameFrame(p *process, f *wire.Frame) error {
	var q wire.NameQuery
	if err := wire.Unmarshal(f.Body, &q); err != nil {
		return err
	}
	if err := q.Check(); err != nil {
		return err
	}
	if p == nil || q.Op != wire.NameFind && q.Holder.At != p.addr {
		return fmt.Errorf("node: %v asks about a name of an actor that is not its own", f.From)
	}
	return n.later(f, func(ctx context.Context, _ *wire.Frame) ([]byte, error) {
		h, err := n.askName(ctx, p, &q)
		return wire.Marshal(&h), err
	})
}

func (n *Node) askName(_ context.Context, p *process, q *wire.NameQuery) (wire.Named, error) {
	k := nameKey{q.Namespace, q.Name}
	n.mu.Lock()
	alone, gone := len(n.members) == 0, p.gone
	n.mu.Unlock()
	if !alone {
		return wire.Named{}, &wire.ErrorRecord{Class: wire.ErrorUnavailable, Node: n.id, Text: "node: names of actors are known within one node only, and this node has peers"}
	}
	t := &n.names
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.held[k]
	switch q.Op {
	case wire.NameClaim:
		switch {
		case !h.Actor.IsZero() || gone:
		case len(t.held) >= maxNames:
			return h, &wire.ErrorRecord{Class: wire.ErrorUnavailable, Node: n.id, Text: fmt.Sprintf("node: %d actors have names already", maxNames)}
		default:
			h = q.Holder
			if t.held == nil {
				t.held = map[nameKey]wire.Named{}
			}
			t.held[k] = h
		}
	case wire.NameRelease:
		if h.Actor == q.Holder.Actor {
			delete(t.held, k)
		}
	}
	return h, nil
}

// freeNames gives the names of a process's actors back when it has ended.
func (n *Node) freeNames(at id.Addr) {
	t := &n.names
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, h := range t.held {
		if h.At == at {
			delete(t.held, k)
		}
	}
}
