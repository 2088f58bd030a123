package node

import (
	"sync"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
)

// insides is to what the values here refer, for each node that asks. In a round of questions that is looked up once, with the first: to what
// nobody referred then, neither a value nor a process, nobody can refer later, and processes note what they let go (package proc, refer.go).
type insides struct {
	mu sync.Mutex
	of map[id.Node]*inside
}

// inside is what a round found.
type inside struct {
	round uint64
	refs  map[id.Object]struct{}
	any   bool // a value could not be read: it may refer to anything
}

// insideOthers gives those of the objects of a question to which values here refer whose own owners may be gone.
func (n *Node) insideOthers(from id.Node, m *wire.Refer) (used []id.Object) {
	n.insides.mu.Lock()
	defer n.insides.mu.Unlock()
	in := n.insides.of[from]
	if in == nil || in.round != m.Round {
		in = n.lookInside()
		in.round = m.Round
		n.insides.of[from] = in
	}
	for _, o := range m.IDs {
		if _, ok := in.refs[o]; ok || in.any {
			used = append(used, o)
		}
	}
	if m.Last {
		delete(n.insides.of, from)
	}
	return used
}

// lookInside looks into all values whose owners may be gone. What moves from memory into a file is in both for a while, so that it is
// seen in one of them.
func (n *Node) lookInside() *inside {
	in := &inside{refs: map[id.Object]struct{}{}}
	note := func(refs []codec.Ref) {
		for i := range refs {
			in.refs[refs[i].ID] = struct{}{}
		}
	}
	buf := make([]byte, codec.HeadLen) // enough where there are no references
	n.arena.List(func(e arena.Entry) bool {
		if !n.mayBeOrphan(e.ID) {
			return true
		}
		got, _ := n.arena.Peek(e.ID, buf)
		refs, need, err := codec.HeadRefs(buf[:got])
		if need > got && int64(need) <= e.Size {
			buf = make([]byte, max(need, 2*len(buf)))
			got, _ = n.arena.Peek(e.ID, buf)
			refs, _, err = codec.HeadRefs(buf[:got])
		}
		if err == nil {
			note(refs)
		}
		return true
	})
	n.store.EachSpilledRefs(func(o id.Object, refs []codec.Ref, err error) {
		switch {
		case !n.mayBeOrphan(o):
		case err != nil:
			in.any = true
		default:
			note(refs)
		}
	})
	return in
}
