package sched

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// holder is a layer above that has tasks entrusted.
type holder struct {
	mu sync.Mutex
	ts map[*Task]bool
}

func (h *holder) add(t *Task) {
	h.mu.Lock()
	h.ts[t] = true
	h.mu.Unlock()
}

func (h *holder) ended(r *Root, err error) {
	var ts []*Task
	h.mu.Lock()
	for t := range h.ts {
		if t.On(r) {
			ts = append(ts, t)
		}
	}
	h.mu.Unlock()
	for _, t := range ts {
		t.Fail(err)
	}
}

// TestEntrustedEnd has contexts end while tasks are entrusted under them: none is left behind.
func TestEntrustedEnd(t *testing.T) {
	h := &holder{ts: map[*Task]bool{}}
	e := New(Config{Slots: 1, Ended: h.ended})
	defer e.Close(context.Background())
	f := &Func{Name: "outside"}
	for range 2000 {
		c, cancel := context.WithCancel(context.Background())
		other, ends := context.WithCancel(context.Background())
		ts := make([]Task, 8)
		var keep Task
		e.Loose(other, &keep, f)
		keep.Entrust()
		h.add(&keep)
		var wg sync.WaitGroup
		wg.Go(cancel)
		for i := range ts {
			e.Loose(c, &ts[i], f)
			if !ts[i].Entrust() {
				t.Fatal("no task made this context")
			}
			h.add(&ts[i])
			ts[i].Expire()
		}
		wg.Wait()
		for i := range ts {
			if err := e.Await(context.Background(), &ts[i]); err == nil {
				t.Fatal("it has finished")
			}
		}
		if keep.Ready() {
			t.Fatal("the end of another context ended it")
		}
		keep.Redeem()
		if n := keep.rootOf().entrusted.Load(); n != 0 {
			t.Fatal(n)
		}
		keep.Finish()
		ends()
		h.mu.Lock()
		clear(h.ts)
		h.mu.Unlock()
	}
}

func TestEntrustDerived(t *testing.T) {
	e := New(Config{Slots: 1})
	defer e.Close(context.Background())
	var out Task
	inner := &Func{Name: "inner"}
	outer := &Func{Name: "outer", Run: func(t *Task) {
		c, cancel := context.WithCancel(t)
		defer cancel()
		e.Loose(c, &out, inner)
		if out.Entrust() {
			t.Fail(errors.New("a task made this context"))
			return
		}
		out.Leash()
		cancel()
		t.Finish()
	}}
	var task Task
	e.Submit(context.Background(), &task, outer, Opts{})
	if err := e.Await(context.Background(), &task); err != nil {
		t.Fatal(err)
	}
	if err := e.Await(context.Background(), &out); err == nil {
		t.Fatal("it has finished")
	}
}
