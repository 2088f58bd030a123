package sched

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// words are the CPU words of a machine with few of them.
type words struct {
	free   atomic.Int32
	wanted atomic.Bool
}

func (w *words) Claim() bool {
	for {
		n := w.free.Load()
		if n <= 0 {
			return false
		}
		if w.free.CompareAndSwap(n, n-1) {
			return true
		}
	}
}
func (w *words) Release()     { w.free.Add(1) }
func (w *words) Wanted() bool { return w.wanted.Load() }
func (w *words) Over() bool   { return w.wanted.Load() }

func TestWords(t *testing.T) {
	w := &words{}
	w.free.Store(1)
	e := start(t, Config{Slots: 2, CPU: w})
	ctx := with(e)
	var now, most atomic.Int32
	task := fn("task", func(context.Context, int) (int, error) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(20 * time.Microsecond)
		now.Add(-1)
		return 0, nil
	})
	var ts []*Task
	for range 200 {
		ts = append(ts, &submit[int, int](e, ctx, task, 0, Opts{}).Task)
	}
	if err := e.WaitN(ctx, ts, len(ts)); err != nil || most.Load() != 1 {
		t.Fatal(err, most.Load())
	}
	until(t, "the word back", func() bool { return w.free.Load() == 1 })
	w.free.Store(0) // another process has it
	c := submit[int, int](e, ctx, task, 0, Opts{})
	if c.Ready() {
		t.Fatal("ran without a word")
	}
	w.free.Store(1)
	until(t, "a free word found", c.Ready)
	for _, n := range []int{10, 50} {
		if v, err := submit[int, int](e, ctx, chain, n, Opts{}).get(e, ctx); v != n || err != nil {
			t.Fatal(v, err)
		}
	}
	until(t, "the word back", func() bool { return w.free.Load() == 1 })
}

// A process that has more than its share gives a word up between two tasks.
func TestWordsAreGivenUp(t *testing.T) {
	w := &words{}
	w.free.Store(1)
	e := start(t, Config{Slots: 1, CPU: w})
	ctx := with(e)
	stop := make(chan struct{})
	var loop *Func
	loop = fn("loop", func(c context.Context, _ int) (int, error) {
		select {
		case <-stop:
		default:
			submit[int, int](e, c, loop, 0, Opts{})
		}
		return 0, nil
	})
	submit[int, int](e, ctx, loop, 0, Opts{})
	until(t, "the word taken", func() bool { return w.free.Load() == 0 })
	w.wanted.Store(true)
	until(t, "the other process's turn", w.Claim)
	w.wanted.Store(false)
	close(stop)
	w.Release()
	until(t, "the word back", func() bool { return e.Queued() == 0 && w.free.Load() == 1 })
}
