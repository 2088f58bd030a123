package owner

import (
	"reflect"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

func obj(n uint64) id.Object {
	var t id.Task
	t[15] = byte(n)
	t[14] = byte(n >> 8)
	return t.Object(0)
}

// step takes an event and compares the actions.
type step struct {
	ev   Event
	want []Action
}

func same(a, b []Action) bool { return len(a)+len(b) == 0 || reflect.DeepEqual(a, b) }

func run(t *testing.T, steps []step) *Table {
	t.Helper()
	tab := NewTable()
	for i, s := range steps {
		got := tab.Step(s.ev, 0)
		if !same(got, s.want) {
			t.Fatalf("step %d, %#v:\n got %#v\nwant %#v", i, s.ev, got, s.want)
		}
		if err := tab.check(); err != nil {
			t.Fatalf("step %d, %#v: %v", i, s.ev, err)
		}
	}
	return tab
}

var (
	a, b, c = obj(1), obj(2), obj(3)
	n1, n2  = id.Node("n1"), id.Node("n2")
	p1      = id.Addr{Node: n1, Proc: 7}
)

func TestInlineLivesWithItsRecord(t *testing.T) {
	tab := run(t, []step{
		{Made{ID: a, Remakeable: true}, nil},
		{Hold{a}, nil},
		{Want{a}, nil},
		{Sealed{ID: a}, []Action{Ready{a}}},
		{Want{a}, []Action{Ready{a}}},
		{AddrDead{id.Addr{Node: n1}}, nil},
		{Want{a}, []Action{Ready{a}}},
		{Unhold{a}, []Action{Forget{a}}},
		{Want{a}, []Action{Lost{a, Loss{CauseFreed, a, ""}}}},
	})
	if tab.Len() != 0 {
		t.Fatal("a record is left")
	}
}

func TestFreeWhenNobodyRefers(t *testing.T) {
	run(t, []step{
		{Made{ID: a}, nil},
		{Hold{a}, nil},
		{Sealed{ID: a, Stored: true, Node: n1, Size: 5, Hash: 9}, []Action{Ready{a}}},
		{Borrow{a, p1}, nil},
		{Borrow{a, p1}, nil},
		{Copied{a, 0, n2}, nil},
		{Unhold{a}, nil},
		{Release{a, p1}, []Action{Free{a, 0, []id.Node{n1, n2}}, Forget{a}}},
		{Copied{a, 0, n2}, []Action{Free{a, 0, []id.Node{n2}}}},
	})
}

func TestBorrowersDieWithTheirNode(t *testing.T) {
	run(t, []step{
		{Made{ID: a}, nil},
		{Borrow{a, p1}, nil},
		{Sealed{ID: a}, []Action{Ready{a}}},
		{AddrDead{id.Addr{Node: n2}}, nil},
		{AddrDead{id.Addr{Node: n1}}, []Action{Forget{a}}},
	})
}

func TestLateAndSecondSealsAreRefused(t *testing.T) {
	run(t, []step{
		{Made{ID: a}, nil},
		{Hold{a}, nil},
		{Made{ID: b}, nil},
		{Hold{b}, nil},
		{Retry{a}, []Action{Remake{a, 1}}},
		{Sealed{ID: a, Attempt: 0, Stored: true, Node: n2, Contains: []id.Object{b}},
			[]Action{ReleaseContained{[]id.Object{b}}, Refuse{a, 0, n2}}},
		{Sealed{ID: a, Attempt: 1, Stored: true, Node: n1}, []Action{Ready{a}}},
		{Sealed{ID: a, Attempt: 1, Stored: true, Node: n1}, nil},                        // the same answer again
		{Sealed{ID: a, Attempt: 1, Stored: true, Node: n2}, []Action{Refuse{a, 1, n2}}}, // ran twice
		{Sealed{ID: a, Attempt: 0, Stored: true, Node: n1}, nil},                        // n1 has the accepted copy
		{Retry{a}, nil},
		{Failed{a, 1}, nil},
		{Sealed{ID: c, Stored: true, Node: n1}, []Action{Refuse{c, 0, n1}}},
	})
}

func TestPutIsLostWithItsLastCopy(t *testing.T) {
	run(t, []step{
		{Made{ID: a}, nil},
		{Hold{a}, nil},
		{Sealed{ID: a, Stored: true, Node: n1}, []Action{Ready{a}}},
		{AddrDead{id.Addr{Node: n1}}, nil},
		{Copied{a, 0, n2}, nil}, // it was on its way
		{Want{a}, []Action{Ready{a}}},
		{Dropped{a, n2}, nil},
		{Want{a}, []Action{Lost{a, Loss{CauseOnce, a, n2}}}},
		{Want{a}, []Action{Lost{a, Loss{CauseOnce, a, n2}}}},
		{Copied{a, 0, n2}, []Action{Free{a, 0, []id.Node{n2}}}}, // too late: waiters were told
		{Unhold{a}, []Action{Forget{a}}},
	})
}

func TestRemakeGoesBackThroughFreedArguments(t *testing.T) {
	run(t, []step{
		{Made{ID: a, Remakeable: true}, nil},
		{Hold{a}, nil},
		{Sealed{ID: a, Stored: true, Node: n1}, []Action{Ready{a}}},
		{Made{ID: b, Remakeable: true, Args: []id.Object{a}}, nil},
		{Hold{b}, nil},
		{Unhold{a}, nil}, // b is pending and needs it
		{Sealed{ID: b, Stored: true, Node: n1}, []Action{Ready{b}, Free{a, 0, []id.Node{n1}}}},
		{AddrDead{id.Addr{Node: n1}}, nil},
		{Want{b}, []Action{Remake{a, 1}, Remake{b, 1}}},
		{Sealed{ID: a, Attempt: 1, Stored: true, Node: n2}, []Action{Ready{a}}},
		{Sealed{ID: b, Attempt: 1, Stored: true, Node: n2}, []Action{Ready{b}, Free{a, 1, []id.Node{n2}}}},
		{Unhold{b}, []Action{Free{b, 1, []id.Node{n2}}, Forget{b}, Forget{a}}},
	})
}

func TestLostArgumentLosesWhatWasMadeFromIt(t *testing.T) {
	run(t, []step{
		{Made{ID: a}, nil}, // a put
		{Sealed{ID: a, Stored: true, Node: n1}, []Action{Ready{a}, Free{a, 0, []id.Node{n1}}, Forget{a}}},
		{Made{ID: b}, nil}, // another
		{Hold{b}, nil},
		{Sealed{ID: b, Stored: true, Node: n1}, []Action{Ready{b}}},
		{Made{ID: c, Remakeable: true, Args: []id.Object{a, b}}, nil},
		{Hold{c}, nil},
		{Unhold{b}, nil},
		{Sealed{ID: c, Stored: true, Node: n1}, []Action{Ready{c}, Free{b, 0, []id.Node{n1}}}},
		{Dropped{c, n1}, nil},
		{Want{c}, []Action{Lost{c, Loss{CauseOnce, b, ""}}, Forget{b}}},
	})
}

func TestRemakesAreBounded(t *testing.T) {
	tab := run(t, []step{{Made{ID: a, Remakeable: true}, nil}, {Hold{a}, nil}})
	for i := range uint32(MaxRemakes) {
		tab.Step(Sealed{ID: a, Attempt: i, Stored: true, Node: n1}, 0)
		tab.Step(Dropped{a, n1}, 0)
		if got := tab.Step(Want{a}, 0); !reflect.DeepEqual(got, []Action{Remake{a, i + 1}}) {
			t.Fatalf("remake %d: %#v", i, got)
		}
	}
	tab.Step(Sealed{ID: a, Attempt: MaxRemakes, Stored: true, Node: n1}, 0)
	tab.Step(Dropped{a, n1}, 0)
	if got := tab.Step(Want{a}, 0); !reflect.DeepEqual(got, []Action{Lost{a, Loss{CauseOften, a, n1}}}) {
		t.Fatalf("after %d remakes: %#v", MaxRemakes, got)
	}
}

func TestContainedIsHeldWhileTheValueLives(t *testing.T) {
	run(t, []step{
		{Made{ID: a}, nil},
		{Hold{a}, nil},
		{Sealed{ID: a}, []Action{Ready{a}}},
		{Made{ID: b}, nil},
		{Hold{b}, nil},
		{Hold{a}, nil}, // for the value of b
		{Sealed{ID: b, Contains: []id.Object{a}}, []Action{Ready{b}}},
		{Unhold{a}, nil},
		{Unhold{b}, []Action{ReleaseContained{[]id.Object{a}}, Forget{b}}},
		{Unhold{a}, []Action{Forget{a}}},
	})
}

func TestFailedArgumentsAreLetGo(t *testing.T) {
	run(t, []step{
		{Made{ID: a}, nil},
		{Sealed{ID: a, Attempt: 1}, nil}, // no such attempt yet
		{Hold{a}, nil},
		{Sealed{ID: a, Stored: true, Node: n1}, []Action{Ready{a}}},
		{Made{ID: b, Remakeable: true, Args: []id.Object{a}}, nil},
		{Unhold{a}, nil},
		{Retry{b}, []Action{Remake{b, 1}}},
		{Failed{b, 0}, nil},
		{Failed{b, 1}, []Action{Ready{b}, Forget{b}, Free{a, 0, []id.Node{n1}}, Forget{a}}},
	})
}

func TestSecondMadeAddsArguments(t *testing.T) {
	run(t, []step{
		{Made{ID: a}, nil},
		{Hold{a}, nil},
		{Sealed{ID: a, Stored: true, Node: n1}, []Action{Ready{a}}},
		{Made{ID: b}, nil},
		{Made{ID: b, Remakeable: true, Args: []id.Object{a, b}}, nil}, // no object is made from itself
		{Made{ID: b, Args: []id.Object{c}}, nil},
		{Unhold{a}, nil},
		{Failed{b, 0}, []Action{Ready{b}, Forget{b}, Free{a, 0, []id.Node{n1}}, Forget{a}}},
		{Made{ID: a}, nil},
		{Sealed{ID: a}, []Action{Ready{a}, Forget{a}}},
	})
}

// TestLossIsTold reads what people are told of each way to be lost.
func TestLossIsTold(t *testing.T) {
	for _, c := range []struct {
		l    Loss
		want string
	}{
		{Loss{CauseFreed, a, ""}, "its owner has freed it"},
		{Loss{CauseOnce, a, "somenode12345678"}, "its last copy, on node 12345678, is gone, and what made it does not run again"},
		{Loss{CauseLineage, a, ""}, "its last copy is gone, and its task cannot run again: the specifications of more than 256 MiB"},
		{Loss{CauseOften, a, ""}, "it was made again 10 times already"},
		{Loss{CauseOnce, b, ""}, "its task cannot run again without the object " + b.String() + ": its last copy is gone, and what made it does not run again"},
		{Loss{CauseFailed, b, ""}, "its task failed when it ran again"},
		{Loss{CauseOther, a, ""}, "made something else"},
		{Loss{Cause: 99}, "unknown"},
	} {
		if got := c.l.Of(a); !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q has no %q", c.l, got, c.want)
		}
	}
}
