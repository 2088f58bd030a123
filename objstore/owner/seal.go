package owner

import "github.com/kadrehq/kadre/internal/id"

// sealed accepts the first seal of the current attempt. The same answer again changes nothing; every other
// seal is refused.
func (t *Table) sealed(e Sealed) {
	r := t.recs[e.ID]
	if r != nil && r.state == StatePending && r.attempt == e.Attempt {
		t.accept(r, e)
		return
	}
	if len(e.Contains) > 0 {
		t.do(ReleaseContained{e.Contains})
	}
	if e.Stored && (r == nil || !r.holds(e.Node)) {
		t.do(Refuse{e.ID, e.Attempt, e.Node})
	}
}

func (t *Table) accept(r *record, e Sealed) {
	r.state, r.stored, r.size, r.hash, r.contains = StateReady, e.Stored, e.Size, e.Hash, e.Contains
	if e.Stored {
		r.holders = []id.Node{e.Node}
	}
	if e.Stored && r.remakeable {
		t.repin(r, pinLineage)
	} else {
		t.repin(r, pinNone)
	}
	t.do(Ready{e.ID})
	t.touch(e.ID)
}

func (t *Table) failed(e Failed) {
	r := t.recs[e.ID]
	if r == nil || r.state != StatePending || r.attempt != e.Attempt {
		return
	}
	r.state = StateFailed
	t.repin(r, pinNone)
	t.do(Ready{e.ID})
	t.touch(e.ID)
}

func (t *Table) retry(o id.Object) {
	if r := t.recs[o]; r != nil && r.state == StatePending {
		r.attempt++
		t.do(Remake{o, r.attempt})
	}
}
