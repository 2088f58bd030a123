package owner

import (
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

var a1, a2 = a.Task().Object(1), a.Task().Object(2)

func beside(o id.Object, attempt uint32, n id.Node) Further {
	return Further{ID: o, Attempt: attempt, Stored: true, Nodes: []id.Node{n}, Size: 3, Again: true}
}

// TestFurtherIsMadeAgainWithItsResult loses the node with an object whose result is in a message.
func TestFurtherIsMadeAgainWithItsResult(t *testing.T) {
	tab := run(t, []step{
		{Made{ID: c}, nil},
		{Hold{c}, nil},
		{Sealed{ID: c}, []Action{Ready{c}}},
		{Made{ID: a, Remakeable: true, Args: []id.Object{c}}, nil},
		{Hold{a}, nil},
		{Sealed{ID: a, Further: []Further{beside(a1, 0, n1), beside(a2, 0, n1)}}, []Action{Ready{a}}},
		{Borrow{a1, p1}, nil},
		{AddrDead{id.Addr{Node: n1}}, nil},
		{Want{a}, []Action{Ready{a}}}, // it is in its message
		{Borrow{a1, id.Addr{Node: n2, Proc: 3}}, nil},
		{Want{a1}, []Action{ReleaseContained{[]id.Object{a1, a2}}, Remake{a, 1}}},
		{Unhold{a1}, nil},
		{Unhold{a2}, []Action{Forget{a2}}},
		{Want{a1}, nil}, // it is on its way
		{Retry{a}, []Action{Remake{a, 2}}},
		{Sealed{ID: a, Attempt: 1, Further: []Further{beside(a1, 1, n1)}}, nil}, // who made it deletes it
		{Sealed{ID: a, Attempt: 2, Further: []Further{beside(a1, 2, n2)}}, []Action{Ready{a1}, Ready{a}}},
		{Release{a1, id.Addr{Node: n2, Proc: 3}}, nil},
		{Unhold{a}, []Action{ReleaseContained{[]id.Object{a1}}}},
		{Unhold{a1}, []Action{Free{a1, 2, []id.Node{n2}}, Forget{a1}, Forget{a}}},
		{Unhold{c}, []Action{Forget{c}}},
	})
	if tab.Len() != 0 {
		t.Fatal("a record is left")
	}
}

// TestFurtherThatDoesNotComeAgain has the next attempt make another value, and none.
func TestFurtherThatDoesNotComeAgain(t *testing.T) {
	other := beside(a1, 1, n2)
	other.Size++
	run(t, []step{
		{Made{ID: a, Remakeable: true}, nil},
		{Hold{a}, nil},
		{Sealed{ID: a, Further: []Further{beside(a1, 0, n1), beside(a2, 0, n1)}}, []Action{Ready{a}}},
		{Hold{a1}, nil},
		{Hold{a2}, nil},
		{AddrDead{id.Addr{Node: n1}}, nil},
		{Want{a1}, []Action{ReleaseContained{[]id.Object{a1, a2}}, Remake{a, 1}}},
		{Unhold{a1}, nil},
		{Unhold{a2}, nil},
		{Want{a2}, nil},
		{Sealed{ID: a, Attempt: 1, Further: []Further{other}}, []Action{Lost{a1, Loss{CauseOther, a1, n1}}, Refuse{a1, 1, n2}, Lost{a2, Loss{CauseOther, a2, n1}}, Ready{a}}},
	})
}

// TestFurtherOfAnActor cannot be made again.
func TestFurtherOfAnActor(t *testing.T) {
	run(t, []step{
		{Made{ID: a}, nil},
		{Hold{a}, nil},
		{Sealed{ID: a, Further: []Further{beside(a1, 0, n1)}}, []Action{Ready{a}}},
		{Want{a1}, []Action{Ready{a1}}},
		{AddrDead{id.Addr{Node: n1}}, nil},
		{Want{a1}, []Action{Lost{a1, Loss{CauseOnce, a1, n1}}}},
	})
}

// TestFurtherOfALostResult: both come again, the further one with another holder.
func TestFurtherOfALostResult(t *testing.T) {
	run(t, []step{
		{Made{ID: a, Remakeable: true}, nil},
		{Hold{a}, nil},
		{Sealed{ID: a, Stored: true, Node: n1, Further: []Further{beside(a1, 0, n1)}}, []Action{Ready{a}}},
		{Hold{a1}, nil},
		{Copied{a1, 0, n2}, nil},
		{Dropped{a, n1}, nil},
		{Want{a}, []Action{ReleaseContained{[]id.Object{a1}}, Remake{a, 1}}},
		{Unhold{a1}, nil},
		{Sealed{ID: a, Attempt: 1, Stored: true, Node: n1, Further: []Further{beside(a1, 1, n1)}},
			[]Action{Free{a1, 0, []id.Node{n2}}, Ready{a}}},
		{Want{a1}, []Action{Ready{a1}}},
	})
}
