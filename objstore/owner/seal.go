package owner

import "github.com/kadrehq/kadre/internal/id"

// sealed accepts the first seal of the current attempt. The same answer again changes nothing; every other
// seal is refused.
func (t *Table) sealed(e Sealed) {
	r := t.recs[e.ID]
	if r != nil && r.state == StatePending && r.attempt == e.Attempt && r.isResult() {
		t.accept(r, e)
		return
	}
	if len(e.Contains) > 0 {
		t.do(ReleaseContained{e.Contains})
	}
	for i := range e.Further {
		if c := e.Further[i].Contains; len(c) > 0 {
			t.do(ReleaseContained{c})
		}
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
	for i := range e.Further {
		t.further(e.ID, r, &e.Further[i])
	}
	t.abandon(e.ID, r)
	if r.kept() && r.remakeable {
		t.repin(r, pinLineage)
		t.keepLineage(e.ID, r)
	} else {
		t.repin(r, pinNone)
	}
	t.do(Ready{e.ID})
	t.touch(e.ID)
}

func (t *Table) failed(e Failed) {
	r := t.recs[e.ID]
	if r == nil || r.state != StatePending || r.attempt != e.Attempt || !r.isResult() {
		return
	}
	r.state = StateFailed
	t.abandon(e.ID, r)
	t.repin(r, pinNone)
	t.do(Ready{e.ID})
	t.touch(e.ID)
}

func (t *Table) retry(o id.Object) {
	if r := t.recs[o]; r != nil && r.state == StatePending && r.isResult() {
		r.attempt++
		t.do(Remake{o, r.attempt})
	}
}
