package sched

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestWaitN(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	var hold [3]call[int, int]
	var ts []*Task
	for i := range hold {
		hold[i].InitExternal(inc, nil)
		ts = append(ts, &hold[i].Task)
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	if err := e.WaitN(short, ts, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	hold[1].Finish()
	if err := e.WaitN(ctx, ts, 1); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.WaitN(ctx, ts, 3) }()
	hold[0].Fail(errOdd)
	select {
	case <-done:
		t.Fatal("returned after 2 of 3")
	case <-time.After(2 * time.Millisecond):
	}
	hold[2].Finish()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := e.Await(short, &hold[0].Task); err != errOdd {
		t.Fatal(err)
	}
	for i := range hold {
		if x := hold[i].ext.Load(); x != nil && x.list.Load() != nil {
			t.Error("waiter left behind on", i)
		}
	}
}

func TestOnDone(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	var n atomic.Int32
	c := submit[int, int](e, ctx, inc, 1, Opts{})
	for range 3 {
		c.OnDone(func() { n.Add(1) })
	}
	until(t, "calls", func() bool { return n.Load() == 3 })
	c.OnDone(func() { n.Add(1) })
	if n.Load() != 4 {
		t.Fatal("not at once")
	}
}

func TestSettle(t *testing.T) {
	var c call[int, int]
	c.InitExternal(inc, nil)
	var wins atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if c.Settle() {
				c.v = i + 1
				c.Finish()
				wins.Add(1)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 || c.v == 0 || !c.Finished() {
		t.Fatal(wins.Load(), c.v)
	}
	if c.Func() != inc || c.FinishAs(3) || c.Tag() != 0 {
		t.Fatal(c.Tag())
	}
	c = call[int, int]{}
	c.InitExternal(inc, nil)
	if !c.FinishAs(3) || c.Tag() != 3 || !c.Finished() {
		t.Fatal(c.Tag())
	}
}

// A lone task that nobody gets must start by itself, soon.
func TestLone(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	for i := range 30 {
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) // executors awake, watching or parked
		c := submit[int, int](e, ctx, inc, 1, Opts{})
		until(t, fmt.Sprint("start ", i), c.Ready)
	}
}

// The depth of tasks that wait for each other is not bounded by the slots, also where the engine cannot see the wait.
func TestBlindNesting(t *testing.T) {
	e := start(t, Config{stall: 20 * time.Millisecond})
	ctx := with(e)
	var blind *Func
	blind = fn("blind", func(_ context.Context, d int) (int, error) {
		if d == 0 {
			return 0, nil
		}
		c := submit[int, int](e, ctx, blind, d-1, Opts{NoInline: true})
		done := make(chan struct{})
		c.OnDone(func() { close(done) })
		<-done
		return c.v + 1, nil
	})
	if v, err := submit[int, int](e, ctx, blind, 20, Opts{}).get(e, ctx); v != 20 || err != nil {
		t.Fatal(v, err, e.Stats())
	}
	until(t, "added slots gone", func() bool {
		submit[int, int](e, ctx, inc, 1, Opts{NoInline: true}).get(e, ctx)
		return e.Stats().Extra == 0
	})
}

// A task that waits outside of the engine and says so holds no slot.
func TestBlock(t *testing.T) {
	e := start(t, Config{Slots: 1, stall: time.Hour})
	ctx := with(e)
	gate := make(chan struct{})
	waits := fn("waits", func(c context.Context, _ int) (int, error) {
		resume := e.Block(c)
		defer resume()
		defer e.Block(c)() // gives nothing: the first has
		<-gate
		return 1, nil
	})
	c := submit[int, int](e, ctx, waits, 0, Opts{NoInline: true})
	if v, err := submit[int, int](e, ctx, inc, 1, Opts{NoInline: true}).get(e, ctx); v != 2 || err != nil {
		t.Fatal(v, err)
	}
	if c.Ready() || e.Stats().Extra != 0 {
		t.Fatal(e.Stats())
	}
	e.Block(ctx)()
	close(gate)
	if v, err := c.get(e, ctx); v != 1 || err != nil {
		t.Fatal(v, err)
	}
	until(t, "slots whole", func() bool { return e.Stats().Running == 0 })
}
