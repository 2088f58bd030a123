package sched

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"weak"
)

// family has a task that starts n others, which start one each and return, or stay; all of the last generation hang.
func family(t *testing.T, e *Engine, ctx context.Context, n int, stay bool) (top *call[int, int], last []*call[int, int]) {
	kids := make(chan *call[int, int], n)
	hang := fn("hang", func(c context.Context, _ int) (int, error) { <-c.Done(); return 0, c.Err() })
	middle := fn("middle", func(c context.Context, _ int) (int, error) {
		kids <- submit[int, int](e, c, hang, 0, Opts{Milli: NoSlot})
		if stay {
			<-c.Done()
		}
		return 0, nil
	})
	head := fn("head", func(c context.Context, _ int) (int, error) {
		for range n {
			submit[int, int](e, c, middle, 0, Opts{Milli: NoSlot})
		}
		<-c.Done()
		submit[int, int](e, c, hang, 0, Opts{}) // too late
		return 0, c.Err()
	})
	top = submit[int, int](e, ctx, head, 0, Opts{})
	for range n {
		last = append(last, <-kids)
	}
	return top, last
}

func TestCancelStarted(t *testing.T) {
	for _, stay := range []bool{true, false} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		for _, c := range []context.Context{context.Background(), ctx} {
			e := start(t, Config{})
			top, last := family(t, e, c, 5, stay)
			other, others := family(t, e, c, 5, stay)
			e.CancelStarted(&top.Task)
			top.Fail(ErrCancelled)
			for _, k := range last {
				until(t, "a task of the last generation has ended", k.Ready)
				if !errors.Is(k.Failure(), context.Canceled) {
					t.Error(k.Failure())
				}
			}
			if c == ctx && e.broods.real(t) == nil {
				t.Error("a brood stands on no context of its own")
			}
			for _, k := range append(others, other) {
				if k.Ready() || k.Err() != nil {
					t.Fatal("another family has ended:", k.Failure())
				}
			}
			e.CancelStarted(&other.Task)
			other.Fail(ErrCancelled)
			for _, k := range others {
				until(t, "the other family has ended", k.Ready)
			}
		}
	}
}

// real is what a brood that is alive stands on.
func (b *broods) real(t *testing.T) *Root {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.all {
		if r := w.Value(); r != nil {
			return r.brood.real
		}
	}
	return nil
}

// TestBroodEndsWithItsContext ends the context on which the first task stands: all generations end, queued ones too.
func TestBroodEndsWithItsContext(t *testing.T) {
	e := start(t, Config{})
	ctx, cancel := context.WithDeadlineCause(context.Background(), time.Now().Add(time.Hour), nil)
	top, last := family(t, e, ctx, 3, true)
	for _, k := range append(last, top) {
		if d, ok := k.Deadline(); !ok || time.Until(d) < 50*time.Minute {
			t.Error("the deadline is not inherited:", d, ok)
		}
	}
	cancel()
	for _, k := range append(last, top) {
		until(t, "it has ended", k.Ready)
		if !errors.Is(k.Failure(), context.Canceled) {
			t.Error(k.Failure())
		}
	}
}

// TestCancelStartedQueued has one slot, so that what is started waits in queues, among their own Deps, and outside.
func TestCancelStartedQueued(t *testing.T) {
	e := start(t, Config{Slots: 1, stall: time.Hour})
	var ran atomic.Int32
	count := fn("count", func(context.Context, int) (int, error) { ran.Add(1); return 0, nil })
	kids := make(chan []*call[int, int], 1)
	detached := make(chan *call[int, int], 1)
	head := fn("head", func(c context.Context, _ int) (int, error) {
		ext := &call[int, int]{}
		e.External(c, &ext.Task, count)
		kids <- []*call[int, int]{ext, submit[int, int](e, c, count, 0, Opts{}), submit[int, int](e, c, count, 0, Opts{Deps: []*Task{&ext.Task}})}
		detached <- submit[int, int](e, context.WithoutCancel(c), count, 0, Opts{})
		<-c.Done()
		return 0, nil
	})
	top := submit[int, int](e, context.Background(), head, 0, Opts{})
	all, free := <-kids, <-detached
	e.CancelStarted(&top.Task)
	for _, k := range all {
		until(t, "it is dropped", k.Ready)
		if !errors.Is(k.Failure(), ErrCancelled) {
			t.Error(k.Failure())
		}
	}
	top.Fail(ErrCancelled)
	until(t, "what is detached has run", free.Ready)
	if n := ran.Load(); n != 1 || free.Failure() != nil {
		t.Error(n, "tasks ran;", free.Failure())
	}
}

// TestChainOfBroods has each task start the next and return: nothing of the first is left at the end.
func TestChainOfBroods(t *testing.T) {
	e := start(t, Config{})
	done := make(chan struct{})
	var first weak.Pointer[Root]
	var next *Func
	left := 200
	next = fn("next", func(c context.Context, n int) (int, error) {
		if left--; left == 0 {
			close(done)
			return 0, nil
		}
		submit[int, int](e, c, next, 0, Opts{NoInline: true})
		if n == 1 {
			e.broods.mu.Lock()
			for _, b := range e.broods.of {
				first = weak.Make(b)
			}
			e.broods.mu.Unlock()
		}
		time.Sleep(2 * broodLeast) // it is no short function
		return 0, nil
	})
	submit[int, int](e, context.Background(), next, 1, Opts{})
	<-done
	until(t, "the first brood is gone", func() bool {
		runtime.GC()
		for _, v := range *e.all.Load() {
			v.roots.last.Store(nil)
		}
		return first.Value() == nil
	})
}
