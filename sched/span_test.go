package sched

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// submitAll is what Map does.
func submitAll(e *Engine, ctx context.Context, f *Func, n int) []*call[int, int] {
	cs := make([]*call[int, int], n)
	to := e.Place(ctx)
	for i := range cs {
		cs[i] = &call[int, int]{a: i}
		to.Prepare(&cs[i].Task, f)
	}
	to.SubmitAll(n, func(i int) *Task { return &cs[i].Task })
	return cs
}

// Whoever takes pieces of a range, each task runs once.
func TestSpanRunsEachOnce(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	var ran [5000]atomic.Int32
	f := fn("count", func(_ context.Context, x int) (int, error) { ran[x].Add(1); return x, nil })
	for range 5 {
		for i := range ran {
			ran[i].Store(0)
		}
		cs := submitAll(e, ctx, f, len(ran))
		taken := e.Take(rand.IntN(3000), func(x *Task) bool { return x.Func() == f })
		e.Return(taken)
		ts := make([]*Task, len(cs))
		for i, c := range cs {
			ts[i] = &c.Task
		}
		if rand.IntN(2) == 0 {
			if _, err := awaitAll(e, ctx, ts); err != nil {
				t.Fatal(err)
			}
		} else if err := e.WaitN(ctx, ts, len(ts)); err != nil {
			t.Fatal(err)
		}
		for i := range ran {
			if n := ran[i].Load(); n != 1 || cs[i].v != i {
				t.Fatal(i, "ran", n, "times and gave", cs[i].v)
			}
		}
	}
	until(t, "nothing queued", func() bool { return e.Queued() == 0 })
}

// A thief from outside gets at most half of a range, its front, and the rest stays one entry.
func TestSpanIsSplitForOthers(t *testing.T) {
	e := start(t, Config{stall: time.Hour})
	ctx := with(e)
	gate := make(chan struct{})
	block := fn("block", func(context.Context, int) (int, error) { <-gate; return 0, nil })
	b := []*Task{&submit[int, int](e, ctx, block, 0, Opts{}).Task, &submit[int, int](e, ctx, block, 0, Opts{}).Task}
	started(t, e, 2)
	cs := submitAll(e, ctx, inc, 1000)
	if n := e.Queued(); n != 1000 {
		t.Error(n, "queued")
	}
	took := e.Take(4096, func(*Task) bool { return true })
	if len(took) != 500 || took[0] != &cs[0].Task || took[499] != &cs[499].Task {
		t.Fatal(len(took))
	}
	if n := e.Queued(); n != 500 {
		t.Error(n, "queued after it")
	}
	if took := e.Take(4096, func(*Task) bool { return false }); len(took) != 0 {
		t.Error(len(took), "that do not fit")
	}
	e.Return(took)
	close(gate)
	if err := e.WaitN(ctx, b, 2); err != nil {
		t.Fatal(err)
	}
	for i, c := range cs {
		if v, err := c.get(e, ctx); v != i+1 || err != nil {
			t.Fatal(i, v, err)
		}
	}
}

func TestSpanEndsWithItsContext(t *testing.T) {
	e := start(t, Config{stall: time.Hour})
	gate := make(chan struct{})
	block := fn("block", func(context.Context, int) (int, error) { <-gate; return 0, nil })
	for range 2 {
		submit[int, int](e, with(e), block, 0, Opts{})
	}
	started(t, e, 2)
	ctx, cancel := context.WithCancel(with(e))
	cs := submitAll(e, ctx, inc, 300)
	cancel()
	for _, c := range cs {
		until(t, "cancelled", c.Ready)
		if !errors.Is(c.Failure(), ErrCancelled) {
			t.Fatal(c.Failure())
		}
	}
	close(gate)
	until(t, "nothing queued", func() bool { return e.Queued() == 0 })
}

func TestFuncStats(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	slow := fn("slow", func(context.Context, int) (int, error) { time.Sleep(200 * time.Microsecond); return 0, nil })
	for range 20 {
		submit[int, int](e, ctx, slow, 0, Opts{}).get(e, ctx)
	}
	if s := slow.Stats(); s.Name != "slow" || s.Runs != 20 || s.P50 < 200*time.Microsecond || s.P99 < s.P50 {
		t.Errorf("%+v", s)
	}
	fast := fn("fast", func(_ context.Context, x int) (int, error) { return x, nil })
	cs := submitAll(e, ctx, fast, 100_000)
	for _, c := range cs {
		c.get(e, ctx)
	}
	if s := fast.Stats(); s.Runs < 10_000 || s.Runs > 1_000_000 || s.P50 == 0 {
		t.Errorf("%+v", s)
	}
}

// TestFewLongRuns has a function with few long runs: it is not measured each time because of them, unless one was very long.
func TestFewLongRuns(t *testing.T) {
	f := &Func{}
	run := func(n int, d time.Duration) {
		for range n {
			f.measured(d, false)
		}
	}
	if !f.everyRun() {
		t.Error("the first run is not measured")
	}
	for range 100 {
		run(1, 20*alwaysTimed)
		if f.everyRun() && f.Stats().Runs > sampleEvery {
			t.Fatal("each is measured after one long run")
		}
		run(20, time.Microsecond)
	}
	run(1, veryLong)
	if !f.everyRun() {
		t.Error("what follows on a very long run is not measured")
	}
	run(20, time.Microsecond)
	if f.everyRun() {
		t.Error("each is measured though all are short again")
	}
	run(20, 2*alwaysTimed)
	if !f.everyRun() {
		t.Error("a slow function is not measured each time")
	}
}

// TestBrief has functions that are carried: those of which most runs are short, whatever one of them took.
func TestBrief(t *testing.T) {
	f := &Func{}
	brief := func() bool { return f.Brief(2 * alwaysTimed) }
	if brief() {
		t.Error("of a function that never ran")
	}
	f.measured(200*veryLong, true)
	if brief() {
		t.Error("after a very long run")
	}
	for range 7 {
		f.measured(alwaysTimed/2, true)
	}
	if !brief() {
		t.Error("not after one very long run and seven short ones")
	}
	f.measured(20*alwaysTimed, false)
	if !brief() {
		t.Error("not after one long run among short ones")
	}
	for range 20 {
		f.measured(20*alwaysTimed, false)
	}
	if brief() {
		t.Error("after long runs only")
	}
}
