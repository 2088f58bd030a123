package session

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

// world is one caller, one actor with its incarnations, and a network that loses, doubles and reorders.
type world struct {
	r       *rand.Rand
	caller  *Caller
	callee  *Callee
	inc     uint64
	toActor []Arrived
	toCall  []any // Answer, Refuse
	acks    []Taken
	queue   []uint64 // calls that the actor runs, in order

	made     uint64
	last     uint64            // the last call that ran
	ran      map[uint64]uint64 // call -> incarnation
	outcome  map[uint64]string
	located  bool
	lossless bool
	dead     bool
}

var errKilled = errors.New("killed")

func (w *world) addr() id.Addr { return id.Addr{Node: "n", Proc: id.Proc(w.inc)} }

// copies is how the network treats one message.
func (w *world) copies() int {
	if w.lossless {
		return 1
	}
	return []int{0, 1, 1, 1, 1, 1, 2, 3}[w.r.IntN(8)]
}

func (w *world) call(ev Event) error {
	for _, a := range w.caller.Step(ev, 0) {
		switch a := a.(type) {
		case Send:
			if a.Acked >= a.Seq {
				return fmt.Errorf("call %d was sent after its outcome", a.Seq)
			}
			for range w.copies() {
				w.toActor = append(w.toActor, Arrived{a.Seq, a.Acked, a.Incarnation, a.Seq})
			}
		case Done:
			if w.outcome[a.Seq] != "" {
				return fmt.Errorf("call %d: done after %s", a.Seq, w.outcome[a.Seq])
			}
			if w.ran[a.Seq] == 0 {
				return fmt.Errorf("call %d: done and never ran", a.Seq)
			}
			w.outcome[a.Seq] = "done"
		case Fail:
			if w.outcome[a.Seq] != "" {
				return fmt.Errorf("call %d: failed after %s", a.Seq, w.outcome[a.Seq])
			}
			if w.ran[a.Seq] != 0 && !a.MayHaveRun {
				return fmt.Errorf("call %d ran and was said not to have run", a.Seq)
			}
			w.outcome[a.Seq] = fmt.Sprintf("failed %v", a.MayHaveRun)
		case Full:
			w.made--
		}
	}
	return nil
}

func (w *world) act(ev CalleeEvent) error {
	for _, a := range w.callee.Step(ev, 0) {
		switch a := a.(type) {
		case Run:
			if a.Payload != a.Seq || w.ran[a.Seq] != 0 || a.Seq <= w.last {
				return fmt.Errorf("call %d (payload %v) runs after %d, ran in incarnation %d", a.Seq, a.Payload, w.last, w.ran[a.Seq])
			}
			w.ran[a.Seq], w.last = w.inc, a.Seq
			w.queue = append(w.queue, a.Seq)
		case Answer, Refuse:
			for range w.copies() {
				w.toCall = append(w.toCall, a)
			}
		}
	}
	if n := w.callee.Len(); n > Window {
		return fmt.Errorf("the actor keeps %d calls", n)
	}
	return nil
}

// pick takes a random message out of a queue.
func pick[T any](r *rand.Rand, q *[]T) (v T, ok bool) {
	if len(*q) == 0 {
		return v, false
	}
	i, end := r.IntN(len(*q)), len(*q)-1
	v, (*q)[i] = (*q)[i], (*q)[end]
	*q = (*q)[:end]
	return v, true
}

func (w *world) deliver() error {
	switch w.r.IntN(4) {
	case 0:
		if m, ok := pick(w.r, &w.toActor); ok {
			return w.act(m)
		}
	case 1:
		m, ok := pick(w.r, &w.toCall)
		if !ok {
			return nil
		}
		if _, refused := m.(Refuse); refused {
			return w.call(Located{w.addr(), w.inc})
		}
		a := m.(Answer)
		if a.Result != a.Seq*10 {
			return fmt.Errorf("call %d was answered %v", a.Seq, a.Result)
		}
		if w.r.IntN(2) == 0 || w.lossless {
			w.acks = append(w.acks, Taken{a.Seq})
		}
		return w.call(Result{a.Seq})
	case 2:
		if m, ok := pick(w.r, &w.acks); ok {
			return w.act(m)
		}
	case 3:
		if len(w.queue) > 0 {
			s := w.queue[0]
			w.queue = w.queue[1:]
			return w.act(Finished{s, s * 10})
		}
	}
	return nil
}

func (w *world) step(restarts bool) error {
	switch n := w.r.IntN(1000); {
	case n < 100:
		burst := 1 + w.r.IntN(3)
		if w.r.IntN(500) == 0 {
			burst = 2 * Window
		}
		for range burst {
			w.made++
			if err := w.call(Call{}); err != nil {
				return err
			}
		}
		return nil
	case n < 110:
		return w.call(Resend{})
	case n < 130 && !w.located:
		w.located = true
		return w.call(Located{w.addr(), w.inc})
	case n == 999 && restarts:
		w.inc++
		w.callee, w.queue = NewCallee(w.inc), nil
		return nil
	case n == 998 && restarts && w.r.IntN(20) == 0:
		w.dead = true
		return w.call(Dead{errKilled})
	}
	return w.deliver()
}

// settle lets the network be perfect until every call has its outcome.
func (w *world) settle() error {
	w.lossless = true
	if err := w.call(Located{w.addr(), w.inc}); err != nil {
		return err
	}
	for range 1_000_000 {
		quiet := len(w.toActor)+len(w.toCall)+len(w.acks)+len(w.queue) == 0
		if quiet && w.caller.Pending() == 0 {
			return nil
		}
		if quiet {
			if err := w.call(Resend{}); err != nil {
				return err
			}
		}
		if err := w.deliver(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d calls never end; %d %d %d %d messages", w.caller.Pending(), len(w.toActor), len(w.toCall), len(w.acks), len(w.queue))
}

func runWorld(seed uint64, steps, limit int, restarts bool) error {
	w := &world{r: rand.New(rand.NewPCG(seed, 1)), caller: NewCaller(limit), callee: NewCallee(1), inc: 1,
		ran: map[uint64]uint64{}, outcome: map[uint64]string{}}
	for i := range steps {
		if err := w.step(restarts); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	if err := w.settle(); err != nil {
		return err
	}
	if uint64(len(w.outcome)) != w.made || w.caller.Acked() != w.made {
		return fmt.Errorf("%d calls, %d outcomes, acknowledged %d", w.made, len(w.outcome), w.caller.Acked())
	}
	if n := len(w.caller.settled); n != 0 {
		return fmt.Errorf("the caller keeps %d outcomes", n)
	}
	if !restarts {
		for s := uint64(1); s <= w.made; s++ {
			if w.outcome[s] != "done" {
				return fmt.Errorf("call %d: %q although the actor lived", s, w.outcome[s])
			}
		}
	}
	// One more call acknowledges all earlier ones: the actor keeps nothing but it.
	if w.dead {
		return nil
	}
	w.made++
	if err := w.call(Call{}); err != nil {
		return err
	}
	if err := w.settle(); err != nil {
		return err
	}
	if n := w.callee.Len(); n > 1 {
		return fmt.Errorf("the actor keeps %d calls of %d that are over", n, w.made)
	}
	return nil
}

func TestSimulated(t *testing.T) {
	first, n := uint64(1), uint64(1000)
	if s := os.Getenv("KADRE_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = v, 1
	}
	if testing.Short() {
		n = min(n, 100)
	}
	for seed := first; seed < first+n; seed++ {
		limit := []int{0, 1, 7, 5000}[seed%4]
		if err := runWorld(seed, 300+int(seed%8)*200, limit, seed%3 == 0); err != nil {
			t.Fatalf("KADRE_SEED=%d: %v", seed, err)
		}
	}
}
