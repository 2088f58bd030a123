package registrar

import (
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

// trio is three machines that meet, and what gets lost between them.
type trio struct {
	ms   map[Member]*Machine
	now  int64
	lost func(from, to Member, m Message) bool
	done map[uint64]Done
}

func (w *trio) step(from Member, acts []Action) {
	for _, a := range acts {
		switch a := a.(type) {
		case Send:
			if w.lost == nil || !w.lost(from, a.To, a.Msg) {
				w.step(a.To, w.ms[a.To].Receive(w.now, from, a.Msg))
			}
		case Done:
			w.done[a.Op] = a
		}
	}
}

// run lets time pass.
func (w *trio) run(long int64) {
	for end := w.now + long; w.now < end; w.now += 50 * millisecond {
		for i := 1; i <= 3; i++ {
			w.step(member(i), w.ms[member(i)].Tick(w.now))
		}
	}
}

// TestWithdrawnClaimLeavesNothing has a claim accepted whose answers are lost, by a node whose lease lapses before it hears
// of it: it tells the shell that it does not know, and gives back what it may have got.
func TestWithdrawnClaimLeavesNothing(t *testing.T) {
	w := &trio{ms: map[Member]*Machine{}, now: 1, done: map[uint64]Done{}}
	for i := 1; i <= 3; i++ {
		w.ms[member(i)] = New(member(i), uint64(i), w.now)
	}
	for i := 1; i <= 3; i++ {
		for j := 1; j <= 3; j++ {
			if i != j {
				w.step(member(i), w.ms[member(i)].Up(w.now, member(j)))
			}
		}
	}
	w.run(20_000 * millisecond)
	me, other := member(2), member(3)
	if n := len(w.ms[me].Config().Members); n != 3 {
		t.Fatalf("%d registrars", n)
	}
	w.step(me, w.ms[me].Claim(w.now, 1, "y", id.Actor{1}, nil))
	if d := w.done[1]; d.Status != Granted {
		t.Fatal(d)
	}
	w.lost = func(_, to Member, m Message) bool { return to == me && m.Kind == Accepted }
	w.step(me, w.ms[me].Claim(w.now, 2, "x", id.Actor{2}, nil))
	for w.done[2].Status == 0 {
		w.run(1000 * millisecond)
		if w.now > 60_000*millisecond {
			t.Fatal("the claim does not end")
		}
	}
	if d := w.done[2]; d.Status != Unavailable || w.ms[me].leased {
		t.Fatalf("%+v; leased: %t", d, w.ms[me].leased)
	}
	w.lost = nil
	w.run(5_000 * millisecond)
	w.step(other, w.ms[other].Claim(w.now, 3, "x", id.Actor{3}, nil))
	w.run(1000 * millisecond)
	if d := w.done[3]; d.Status != Granted {
		t.Fatalf("a name that nobody has: %+v", d)
	}
}
