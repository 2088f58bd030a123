package owner

import (
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

// TestOldestLineageIsGivenUp has room for two specifications.
func TestOldestLineageIsGivenUp(t *testing.T) {
	tab := NewTable()
	tab.lines.most = 2 * (lineageEach + 100)
	d := obj(4)
	for i, s := range []step{
		{Made{ID: a, Remakeable: true, Spec: 100}, nil},
		{Hold{a}, nil},
		{Sealed{ID: a, Stored: true, Node: n1}, []Action{Ready{a}}},
		{Made{ID: b, Remakeable: true, Spec: 100, Args: []id.Object{a}}, nil},
		{Hold{b}, nil},
		{Sealed{ID: b, Stored: true, Node: n1}, []Action{Ready{b}}},
		{Unhold{a}, []Action{Free{a, 0, []id.Node{n1}}}}, // its record stays: b is made of it
		{Made{ID: c, Remakeable: true, Spec: 100}, nil},
		{Hold{c}, nil},
		{Sealed{ID: c, Stored: true, Node: n2}, []Action{GiveUp{a}, Ready{c}}},
		{AddrDead{id.Addr{Node: n1}}, nil},
		{AddrDead{id.Addr{Node: n2}}, nil},
		{Want{b}, []Action{Lost{b, Loss{CauseLineage, a, ""}}, Forget{a}}}, // it was made of what cannot be made again
		{Unhold{b}, []Action{Forget{b}}},
		{Want{c}, []Action{Remake{c, 1}}},
		{Sealed{ID: c, Attempt: 1, Stored: true, Node: n2}, []Action{Ready{c}}},
		{Made{ID: d, Remakeable: true, Spec: 3000}, nil}, // more than there is room for: it is the youngest
		{Hold{d}, nil},
		{Sealed{ID: d, Stored: true, Node: n2}, []Action{GiveUp{c}, Ready{d}}},
		{AddrDead{id.Addr{Node: n2}}, nil},
		{Want{c}, []Action{Lost{c, Loss{CauseLineage, c, n2}}}},
		{Want{d}, []Action{Remake{d, 1}}},
	} {
		if got := tab.Step(s.ev, 0); !same(got, s.want) {
			t.Fatalf("step %d, %#v:\n got %#v\nwant %#v", i, s.ev, got, s.want)
		}
		if err := tab.check(); err != nil {
			t.Fatalf("step %d, %#v: %v", i, s.ev, err)
		}
	}
}

// TestLineageForgetsWhatIsGone makes and drops many results that can be made again: the list of them stays short.
func TestLineageForgetsWhatIsGone(t *testing.T) {
	tab := NewTable()
	for i := range 100_000 {
		o := obj(uint64(i))
		for _, ev := range []Event{Made{ID: o, Remakeable: true, Spec: 200}, Hold{o}, Sealed{ID: o, Stored: true, Node: n1}, Unhold{o}} {
			tab.Step(ev, 0)
		}
		if n := len(tab.lines.order); n > staleMost+2 {
			t.Fatalf("%d entries for no lineage", n)
		}
	}
	if tab.Len() != 0 || tab.lines.bytes != 0 || tab.lines.count != 0 {
		t.Errorf("left: %d records, %+v", tab.Len(), tab.lines)
	}
}
