package node

import (
	"slices"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/objstore/arena"
)

// insideOthers gives those of the objects to which values here refer whose own owners may be gone. What moves from memory into a file
// is in both for a while, so that it is seen in one of them.
func (n *Node) insideOthers(ids map[id.Object]bool) (used []id.Object) {
	var all []arena.Entry
	n.arena.List(func(e arena.Entry) bool {
		if n.mayBeOrphan(e.ID) {
			all = append(all, e)
		}
		return true
	})
	note := func(refs []codec.Ref) {
		for i := range refs {
			if ids[refs[i].ID] {
				used = append(used, refs[i].ID)
			}
		}
	}
	buf := make([]byte, peekFirst)
	for _, e := range all {
		got, _ := n.arena.Peek(e.ID, buf)
		refs, need, err := codec.HeadRefs(buf[:got])
		if need > len(buf) && int64(need) <= e.Size {
			buf = make([]byte, need)
			got, _ = n.arena.Peek(e.ID, buf)
			refs, _, err = codec.HeadRefs(buf[:got])
		}
		if err == nil {
			note(refs)
		}
	}
	n.store.EachSpilledRefs(func(o id.Object, refs []codec.Ref, err error) {
		switch {
		case !n.mayBeOrphan(o):
		case err != nil: // it may refer to anything
			for i := range ids {
				used = append(used, i)
			}
		default:
			note(refs)
		}
	})
	slices.SortFunc(used, func(a, b id.Object) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(used)
}
