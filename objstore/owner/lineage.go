package owner

import (
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// Specifications of tasks whose results could be lost are kept to make those again. There is a bound on their bytes: the
// oldest go first, and their results are like those that were put. Pending tasks do not count; they are bounded elsewhere.
const (
	maxLineage  = 256 << 20 // bytes
	lineageEach = 512       // bytes that a record takes beside its specification, about
	staleMost   = 1024      // more of those that are no lineage any more, and than there are others, are swept out
)

// lineage is the records that are kept for that, the oldest first.
type lineage struct {
	order []id.Object // some are no lineage any more, or are in it twice
	count int
	bytes int64
	most  int64 // maxLineage, less in tests
}

// keepLineage counts a record whose task may have to run again, and gives the oldest up where there are too many.
func (t *Table) keepLineage(o id.Object, r *record) {
	r.lined = true
	t.lines.count++
	t.lines.bytes += r.spec + lineageEach
	t.lines.order = append(t.lines.order, o)
	for t.lines.bytes > t.lines.most && len(t.lines.order) > 1 {
		old := t.lines.order[0]
		t.lines.order = t.lines.order[1:]
		if x := t.recs[old]; x != nil && x.lined && x != r {
			t.giveUp(old, x)
		}
	}
	if len(t.lines.order) > 2*t.lines.count+staleMost {
		t.lines.order = slices.DeleteFunc(t.lines.order, func(o id.Object) bool { x := t.recs[o]; return x == nil || !x.lined })
	}
}

// dropLineage is for a record that is made again, lost or forgotten.
func (t *Table) dropLineage(r *record) {
	if r.lined {
		r.lined = false
		t.lines.count--
		t.lines.bytes -= r.spec + lineageEach
	}
}

// giveUp makes a result one that cannot be made again.
func (t *Table) giveUp(o id.Object, r *record) {
	t.dropLineage(r)
	r.remakeable, r.dropped = false, true
	t.repin(r, pinNone)
	t.do(GiveUp{o})
	t.touch(o)
}
