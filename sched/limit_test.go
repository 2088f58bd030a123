package sched

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

const few = 10 // tasks that may be unfinished in these tests

// gated gives a function that waits until open is called.
func gated() (f *Func, open func()) {
	gate := make(chan struct{})
	return fn("gated", func(c context.Context, n int) (int, error) {
		select {
		case <-gate:
		case <-c.Done():
			return 0, c.Err()
		}
		return n, nil
	}), func() { close(gate) }
}

// crowdWaits waits until some goroutines wait for room.
func crowdWaits(t *testing.T, e *Engine, n int) {
	t.Helper()
	until(t, "submitters wait", func() bool {
		k := 0
		for _, w := range e.Waits(0) {
			if w.Why == e.crowd.limit.why {
				k++
			}
		}
		return k == n
	})
}

func TestSubmitterWaitsForRoom(t *testing.T) {
	for _, o := range []Opts{{}, {Priority: true}, {Milli: 500}, {Milli: 2000}} {
		e := start(t, Config{Slots: 2, Queued: few, Priority: func(*Task) int { return 1 }})
		f, open := gated()
		var sent atomic.Int32
		var all [50]*call[int, int]
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range all {
				all[i] = submit[int, int](e, context.Background(), f, i, o)
				sent.Add(1)
			}
		}()
		until(t, "as many wait as may", func() bool { return e.unstarted() >= few })
		crowdWaits(t, e, 1)
		if n := e.unstarted(); n > few+4 || int(sent.Load()) > few+4+4 {
			t.Errorf("%+v: %d tasks wait, %d were submitted", o, n, sent.Load())
		}
		open()
		<-done
		for i, c := range all {
			if v, err := c.get(e, context.Background()); v != i || err != nil {
				t.Fatal(i, v, err)
			}
		}
	}
}

func TestWaitForRoomEndsWithContext(t *testing.T) {
	e := start(t, Config{Slots: 1, Queued: few})
	f, open := gated()
	all := []*call[int, int]{submit[int, int](e, context.Background(), f, 7, Opts{})}
	started(t, e, 1)
	for !e.Full() {
		all = append(all, submit[int, int](e, context.Background(), f, 7, Opts{}))
	}
	ctx, cancel := context.WithCancel(context.Background())
	late := make(chan *call[int, int], 2)
	go func() { late <- submit[int, int](e, ctx, f, 8, Opts{}) }()
	go func() { // a range
		c := &call[int, int]{}
		to := e.Place(ctx)
		if to.Open() || to.Prepare(&c.Task, f) {
			t.Error("a range found room")
		}
		late <- c
	}()
	crowdWaits(t, e, 2)
	cancel()
	for range 2 {
		if err := (<-late).Failure(); !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
	}
	if err := submit[int, int](e, ctx, f, 9, Opts{}).Failure(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	open()
	for _, c := range all {
		if v, err := c.get(e, context.Background()); v != 7 || err != nil {
			t.Fatal(v, err)
		}
	}
}

// TestTasksWaitForRoom is a tree all of whose inner tasks have to wait: each gives its slot back, or none would go on.
func TestTasksWaitForRoom(t *testing.T) {
	for _, slots := range []int{1, 3} {
		e := start(t, Config{Slots: slots, Queued: few})
		var ran atomic.Int32
		var f *Func
		f = fn("tree", func(c context.Context, depth int) (int, error) {
			ran.Add(1)
			if depth == 0 {
				return 1, nil
			}
			var kids [4]*call[int, int]
			for i := range kids {
				kids[i] = submit[int, int](e, c, f, depth-1, Opts{})
			}
			n := 1
			for _, k := range kids {
				v, err := k.get(e, c)
				if err != nil {
					return 0, err
				}
				n += v
			}
			return n, nil
		})
		if n, err := submit[int, int](e, context.Background(), f, 4, Opts{}).get(e, context.Background()); n != 341 || err != nil || ran.Load() != 341 {
			t.Error(n, ran.Load(), err)
		}
		// a cancelled task ends its wait
		g, open := gated()
		stuck := fn("stuck", func(c context.Context, _ int) (int, error) {
			for c.Err() == nil {
				submit[int, int](e, context.Background(), g, 0, Opts{})
			}
			return 0, c.Err()
		})
		top := submit[int, int](e, context.Background(), stuck, 0, Opts{})
		submitted := func() bool { return e.Full() }
		until(t, "the bound is reached", submitted)
		top.Cancel()
		until(t, "the task has ended", top.Ready)
		open()
	}
}

func TestHungTasksCount(t *testing.T) {
	e := start(t, Config{Slots: 2, Queued: few})
	f, open := gated()
	g, openOther := gated()
	need := &submit[int, int](e, context.Background(), f, 1, Opts{}).Task
	started(t, e, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var hung []*call[int, int]
	for !e.Full() {
		c := context.Background()
		if len(hung)%2 == 0 {
			c = ctx
		}
		hung = append(hung, submit[int, int](e, c, g, 2, Opts{Deps: []*Task{need}}))
	}
	if len(hung) != few {
		t.Error(len(hung), "tasks hang")
	}
	cancel()
	until(t, "half of them have failed", func() bool { return e.crowd.hung.Load() == few/2 })
	until(t, "there is room", func() bool { return !e.Full() })
	hung[1].Fail(ErrCancelled)
	if n := e.crowd.hung.Load(); n != few/2-1 {
		t.Error(n, "tasks count as hung")
	}
	open()
	openOther()
	for i, c := range hung {
		if v, err := c.get(e, context.Background()); (v == 2) != (i%2 == 1 && i != 1) {
			t.Error(i, v, err)
		}
	}
	if n := e.crowd.hung.Load(); n != 0 {
		t.Error(n, "tasks count as hung")
	}
}

func TestCloseWhileSubmitterWaits(t *testing.T) {
	e := New(Config{Slots: 1, Queued: few})
	f, _ := gated()
	submit[int, int](e, context.Background(), f, 7, Opts{})
	started(t, e, 1)
	for !e.Full() {
		submit[int, int](e, context.Background(), f, 7, Opts{})
	}
	late := make(chan *call[int, int])
	go func() { late <- submit[int, int](e, context.Background(), f, 8, Opts{}) }()
	crowdWaits(t, e, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := (<-late).Failure(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestManyQueuesReachTheBound has tasks of several queues, of which each alone is far from the bound.
func TestManyQueuesReachTheBound(t *testing.T) {
	const most = 20_000
	e := start(t, Config{Slots: 1, Queued: most})
	f, open := gated()
	defer open()
	for n := 0; !e.Full(); n++ {
		if n > most+limitStep*(shards+3) {
			t.Fatal(e.unstarted(), "tasks wait below the bound of", most)
		}
		c := &call[int, int]{}
		c.shape = 1
		r := e.base
		c.setKin(r.kin(f))
		e.enqueue((*e.all.Load())[n%shards], &c.Task)
	}
	if n := e.unstarted(); n < most {
		t.Error(n, "tasks reached the bound of", most)
	}
}
