package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore"
	"github.com/kadrehq/kadre/objstore/spill"
)

// openStore opens the store over the arena, the folder for what does not fit and, unless private, the network.
func (n *Node) openStore() error {
	if err := n.openSpill(); err != nil {
		return err
	}
	c := objstore.Config{Arena: n.arena, Node: n.id, Epoch: n.epoch, Logger: n.log,
		Spill: spill.NewDir(n.spillDir()), Collect: n.collect, Drop: n.mayDrop, Reclaim: n.reclaim,
		Copied:  func(owner id.Addr, c wire.Copied) { n.tell(owner, wire.KCopied, wire.Marshal(&c)) },
		Dropped: func(owner id.Addr, c wire.Copied) { n.tell(owner, wire.KDropped, wire.Marshal(&c)) },
		Event: func(e objstore.Event) {
			n.events.Add(trace.Event{Layer: "objstore", Kind: e.Kind, Peer: e.Peer.Short(), Task: e.Object.String(), N: e.N, Text: e.Text})
		}}
	if n.host != nil {
		c.Net, c.Directory = n.host, n.host.Directory()
	}
	n.store = objstore.NewStore(c)
	return nil
}

// pullFrame brings an object into the arena for a process.
func (n *Node) pullFrame(f *wire.Frame) error {
	return n.later(f, func(ctx context.Context, f *wire.Frame) ([]byte, error) {
		var info wire.ObjectInfo
		if err := wire.Unmarshal(f.Body, &info); err != nil {
			return nil, err
		}
		n.mu.Lock()
		ended := n.ended.has(info.Job)
		n.mu.Unlock()
		if ended {
			return nil, &wire.ErrorRecord{Class: wire.ErrorClosed, Node: n.id, Object: info.ID, Text: "node: pull: the object's job has ended"}
		}
		return nil, n.outOfMemory(int64(info.Size), n.store.Pull(ctx, info))
	})
}

// ofAttempt gives those of the objects whose copy here is of the attempt that is to be freed: a late message
// must not hit the copy of a newer one.
func (n *Node) ofAttempt(m *wire.Free) (ids []id.Object) {
	for i, o := range m.IDs {
		have, ok := n.store.Attempt(o)
		if !ok || i >= len(m.Attempts) || have == m.Attempts[i] {
			ids = append(ids, o)
		}
	}
	return ids
}

// freeFrame deletes copies: ours, and where a process asks those on other nodes.
func (n *Node) freeFrame(p *process, f *wire.Frame) error {
	var m wire.Free
	if err := wire.Unmarshal(f.Body, &m); err != nil {
		return err
	}
	if p == nil || slices.Contains(m.Nodes, n.id) {
		n.store.Free(n.ofAttempt(&m))
	}
	if p == nil {
		return nil
	}
	body := wire.Marshal(&wire.Free{IDs: m.IDs, Attempts: m.Attempts})
	for _, to := range m.Nodes {
		if to != n.id {
			n.tell(id.Addr{Node: to}, wire.KFree, body)
		}
	}
	return nil
}

// locateFrame asks the directory where an object is.
func (n *Node) locateFrame(f *wire.Frame) error {
	return n.later(f, func(ctx context.Context, f *wire.Frame) ([]byte, error) {
		var q wire.ObjectInfo
		if err := wire.Unmarshal(f.Body, &q); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, wire.CallTimeout)
		defer cancel()
		info, err := n.store.Locate(ctx, q.ID, q.Owner)
		if err != nil {
			return nil, err
		}
		return wire.Marshal(&info), nil
	})
}

// publishFrame puts records of objects of ours into the directory.
func (n *Node) publishFrame(f *wire.Frame) error {
	var m wire.IDs
	if err := wire.Unmarshal(f.Body, &m); err != nil {
		return err
	}
	if f.From.Node != n.id {
		return fmt.Errorf("node: publish: only processes of the node publish here")
	}
	if m.Owner.IsZero() {
		m.Owner = f.From
	}
	n.store.Publish(m.Owner, m.IDs...)
	n.reply(f, nil, nil)
	return nil
}
