package owner

import (
	"bytes"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// further takes an object in that came with the result of, whose record is r, and holds it for that.
func (t *Table) further(of id.Object, r *record, e *Further) {
	f := t.recs[e.ID]
	again := e.Again && e.Stored && r.remakeable && e.ID != of && e.ID.Task() == of.Task()
	switch {
	case f == nil:
		f = &record{}
		t.recs[e.ID] = f
		t.arrive(f, e)
	case f.state == StatePending && f.of == of && e.Stored && f.size == e.Size:
		t.arrive(f, e)
		t.repin(f, pinLineage)
		t.do(Ready{e.ID})
	case f.state == StatePending && f.of == of:
		// The task made another value: the references that are out mean the old one.
		t.lose(e.ID, f, Loss{Cause: CauseOther, Object: e.ID, Last: f.last})
		again = false
		t.refuseFurther(f, e)
	case f.stored && e.Stored && (f.state == StateReady || f.state == StateFreed) && f.attempt != e.Attempt:
		old := slices.DeleteFunc(slices.Clone(f.holders), func(n id.Node) bool { return slices.Contains(e.Nodes, n) })
		if len(old) > 0 {
			t.do(Free{e.ID, f.attempt, old})
		}
		t.letGo(f)
		t.arrive(f, e)
	default:
		t.refuseFurther(f, e)
	}
	if again && f.stored && f.isResult() {
		f.of, f.remakeable, f.args, f.pin, r.led = of, true, []id.Object{of}, pinNone, true
		t.repin(f, pinLineage)
	}
	f.local++
	r.contains = append(r.contains, e.ID)
	t.touch(e.ID)
}

// arrive makes e the value of f.
func (t *Table) arrive(f *record, e *Further) {
	f.state, f.stored, f.size, f.attempt, f.contains = StateReady, e.Stored, e.Size, e.Attempt, e.Contains
	for _, o := range e.Within {
		if w := t.recs[o]; w != nil {
			w.local++
			f.contains = append(f.contains, o)
		}
	}
	f.holders = slices.Clone(e.Nodes)
	if e.Maker != (id.Addr{}) {
		f.borrowers = add(f.borrowers, e.Maker)
	}
}

// refuseFurther leaves what f has.
func (t *Table) refuseFurther(f *record, e *Further) {
	if len(e.Contains) > 0 {
		t.do(ReleaseContained{e.Contains})
	}
	for _, n := range e.Nodes {
		if e.Attempt != f.attempt && !f.holds(n) {
			t.do(Refuse{e.ID, e.Attempt, n})
		}
	}
}

// abandon ends the waiting for further objects that did not come with the result of, whose record is r.
func (t *Table) abandon(of id.Object, r *record) {
	if !r.led {
		return
	}
	var lost []id.Object
	for o, f := range t.recs {
		if f.of == of && f.state == StatePending {
			lost = append(lost, o)
		}
	}
	slices.SortFunc(lost, func(a, b id.Object) int { return bytes.Compare(a[:], b[:]) })
	for _, o := range lost {
		f := t.recs[o]
		l := Loss{Cause: CauseOther, Object: o, Last: f.last}
		if r.state == StateFailed {
			l.Cause = CauseFailed
		}
		t.lose(o, f, l)
	}
}
