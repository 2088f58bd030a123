package owner

import (
	"bytes"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// Table has the records of the objects that one process owns.
type Table struct {
	recs  map[id.Object]*record
	dirty []id.Object // records that may have lost their last reason to be
	acts  []Action
	lines lineage
}

// NewTable makes an empty table.
func NewTable() *Table {
	return &Table{recs: map[id.Object]*record{}, lines: lineage{most: maxLineage}}
}

// Info is a copy of what the table knows of an object.
type Info struct {
	State     State
	Stored    bool
	Size      uint64
	Hash      uint64
	Attempt   uint32
	Holders   []id.Node
	Local     int
	Borrowers []id.Addr
	Loss      Loss // where it is lost
}

// Info gives the state of an object, and whether there is a record.
func (t *Table) Info(o id.Object) (Info, bool) {
	r := t.recs[o]
	if r == nil {
		return Info{}, false
	}
	i := Info{State: r.state, Stored: r.stored, Size: r.size, Hash: r.hash, Attempt: r.attempt, Holders: slices.Clone(r.holders), Local: r.local, Borrowers: slices.Clone(r.borrowers)}
	if r.loss != nil {
		i.Loss = *r.loss
	}
	return i, true
}

// Len is the number of records.
func (t *Table) Len() int { return len(t.recs) }

// Step takes one event and gives what is to be done, in order. No rule depends on time; now is there because
// all machines are driven alike.
func (t *Table) Step(ev Event, _ int64) []Action {
	t.acts = nil
	switch e := ev.(type) {
	case Made:
		t.made(e)
	case Sealed:
		t.sealed(e)
	case Failed:
		t.failed(e)
	case Copied:
		t.copied(e)
	case Dropped:
		t.count(e.ID, func(r *record) { r.left(e.Node) })
	case Hold:
		t.count(e.ID, func(r *record) { r.local++ })
	case Unhold:
		t.count(e.ID, func(r *record) { r.local = max(0, r.local-1) })
	case Borrow:
		t.count(e.ID, func(r *record) { r.borrowers = add(r.borrowers, e.Addr) })
	case Release:
		t.count(e.ID, func(r *record) { remove(&r.borrowers, func(a id.Addr) bool { return a == e.Addr }) })
	case AddrDead:
		t.dead(e.Addr)
	case Retry:
		t.retry(e.ID)
	case Want:
		t.want(e.ID)
	}
	for len(t.dirty) > 0 {
		o := t.dirty[len(t.dirty)-1]
		t.dirty = t.dirty[:len(t.dirty)-1]
		t.settle(o)
	}
	return t.acts
}

func (t *Table) do(a Action)       { t.acts = append(t.acts, a) }
func (t *Table) touch(o id.Object) { t.dirty = append(t.dirty, o) }

// count changes what counts on an object that has a record.
func (t *Table) count(o id.Object, change func(*record)) {
	if r := t.recs[o]; r != nil {
		change(r)
		t.touch(o)
	}
}

func (t *Table) made(e Made) {
	r := t.recs[e.ID]
	switch {
	case r == nil:
		r = &record{state: StatePending, attempt: e.Attempt}
	case r.state != StatePending || len(r.args) > 0:
		return
	}
	r.remakeable, r.spec = e.Remakeable, e.Spec
	for _, a := range e.Args {
		if t.recs[a] != nil && a != e.ID {
			r.args = add(r.args, a)
		}
	}
	t.recs[e.ID] = r
	r.pin = pinNone // it had no arguments so far
	t.repin(r, pinNeeded)
}

func (t *Table) copied(e Copied) {
	r := t.recs[e.ID]
	switch {
	case r != nil && r.holds(e.Node):
	case r != nil && r.state == StateReady && r.stored && r.attempt == e.Attempt:
		r.holders = append(r.holders, e.Node)
	default:
		t.do(Free{e.ID, e.Attempt, []id.Node{e.Node}})
	}
}

// dead goes through all records. Those that change are settled in the order of their IDs, so that a replay
// does the same.
func (t *Table) dead(a id.Addr) {
	for o, r := range t.recs {
		changed := remove(&r.borrowers, func(b id.Addr) bool { return b == a || a.Proc == 0 && b.Node == a.Node })
		if a.Proc == 0 {
			r.left(a.Node)
		}
		if changed {
			t.touch(o)
		}
	}
	slices.SortFunc(t.dirty, func(a, b id.Object) int { return bytes.Compare(b[:], a[:]) })
}

// repin changes how a record counts on its arguments.
func (t *Table) repin(r *record, to pin) {
	from := r.pin
	r.pin = to
	for _, a := range r.args {
		arg := t.recs[a]
		switch to {
		case pinNeeded:
			arg.needed++
		case pinLineage:
			arg.lineage++
		}
		switch from {
		case pinNeeded:
			arg.needed--
			t.touch(a)
		case pinLineage:
			arg.lineage--
			t.touch(a)
		}
	}
	if to == pinNone {
		r.args = nil
	}
}

// settle deletes the data and the record of an object when nothing counts on them any more.
func (t *Table) settle(o id.Object) {
	r := t.recs[o]
	if r == nil || r.state == StatePending || r.referenced() {
		return
	}
	if r.state == StateReady && r.kept() {
		if len(r.holders) > 0 {
			t.do(Free{o, r.attempt, r.holders})
		}
		r.holders = nil
		t.letGo(r)
		r.state = StateFreed
	}
	if r.lineage > 0 {
		return
	}
	t.letGo(r)
	t.dropLineage(r)
	t.repin(r, pinNone)
	delete(t.recs, o)
	t.do(Forget{o})
}

// letGo gives back the holds on what a value contained.
func (t *Table) letGo(r *record) {
	if len(r.contains) > 0 {
		t.do(ReleaseContained{r.contains})
	}
	r.contains = nil
}
