package sched

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

type key struct{}

// busy fills both slots until its end is called.
func busy(t *testing.T, e *Engine) (end func()) {
	gate := make(chan struct{})
	block := fn("block", func(context.Context, int) (int, error) { <-gate; return 0, nil })
	for range e.Slots() {
		submit[int, int](e, context.Background(), block, 0, Opts{})
	}
	started(t, e, e.Slots())
	return func() { close(gate) }
}

func TestQueuedTaskIsDropped(t *testing.T) {
	e := start(t, Config{stall: time.Hour})
	defer busy(t, e)()
	for _, why := range []string{"cancel", "deadline"} {
		ctx, cancel := context.WithCancel(context.Background())
		if why == "deadline" {
			ctx, cancel = context.WithTimeout(context.Background(), 5*time.Millisecond)
		}
		ext := &call[int, int]{}
		ext.InitExternal(inc, nil)
		var n atomic.Int32
		count := fn("count", func(context.Context, int) (int, error) { n.Add(1); return 0, nil })
		cs := []*call[int, int]{
			submit[int, int](e, ctx, count, 1, Opts{}),
			submit[int, int](e, ctx, count, 1, Opts{}),
			submit[int, int](e, ctx, count, 1, Opts{Milli: 2000}),
			submit[int, int](e, ctx, count, 1, Opts{Deps: []*Task{&ext.Task}}),
		}
		other := submit[int, int](e, context.WithoutCancel(ctx), count, 1, Opts{})
		if why == "cancel" {
			cancel()
		}
		for _, c := range cs {
			until(t, "dropped by "+why, c.Ready) // nobody awaits it
			if err := c.Failure(); !errors.Is(err, ErrCancelled) || !errors.Is(err, context.Canceled) || !errors.Is(err, ctx.Err()) {
				t.Fatal(err)
			}
		}
		if c := submit[int, int](e, ctx, count, 1, Opts{}); !errors.Is(c.Failure(), ErrCancelled) {
			t.Fatal("submitted under an ended context:", c.Failure())
		}
		ext.Finish()
		if other.Ready() || n.Load() != 0 {
			t.Fatal("a dropped or detached task is done")
		}
		cancel()
		other.Cancel()
	}
	if !errors.Is(ErrCancelled, context.Canceled) {
		t.Fatal("ErrCancelled")
	}
}

func TestTaskContext(t *testing.T) {
	e := start(t, Config{})
	ctx, cancel := context.WithTimeout(context.WithValue(with(e), key{}, 1), time.Hour)
	defer cancel()
	look := fn("look", func(c context.Context, _ int) (int, error) {
		d, ok := c.Deadline()
		want, _ := ctx.Deadline()
		switch {
		case c.Value(key{}) != nil:
			return 0, errors.New("a value has travelled")
		case !ok || d != want:
			return 0, errors.New("the deadline has not")
		case c.Err() != nil:
			return 0, c.Err()
		case UserOf(c) != e || TaskOf(context.WithValue(c, key{}, 2)) != c:
			return 0, errors.New("not found in its context")
		}
		go func() { cancel() }()
		<-c.Done()
		if TaskOf(c).Err() == nil {
			return 0, errors.New("no error after Done")
		}
		return 1, c.Err()
	})
	c := submit[int, int](e, ctx, look, 0, Opts{})
	if err := e.Await(with(e), &c.Task); err != context.Canceled {
		t.Fatal(err)
	}
}

func TestOwnContextEndsWithTheTaskAndChildrenLive(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	var child, under *call[int, int]
	var kept context.Context
	gate := make(chan struct{})
	wait := fn("wait", func(c context.Context, _ int) (int, error) {
		select {
		case <-gate:
			return 1, nil
		case <-c.Done():
			return 0, c.Err()
		}
	})
	parent := fn("parent", func(c context.Context, _ int) (int, error) {
		kept = c
		child = submit[int, int](e, context.WithValue(c, key{}, 1), wait, 0, Opts{NoInline: true})
		short, cancel := context.WithTimeout(c, time.Millisecond)
		defer cancel()
		under = submit[int, int](e, short, wait, 0, Opts{NoInline: true})
		e.Await(c, &under.Task)
		if c.Err() != nil {
			return 0, c.Err()
		}
		return 0, nil
	})
	if _, err := submit[int, int](e, ctx, parent, 0, Opts{}).get(e, ctx); err != nil {
		t.Fatal(err)
	}
	if err := under.Failure(); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("bounded by a context its maker made:", err)
	}
	<-kept.Done()
	if kept.Err() != context.Canceled {
		t.Fatal(kept.Err())
	}
	if child.Ready() {
		t.Fatal("the child ended with its parent:", child.Failure())
	}
	if c := submit[int, int](e, kept, wait, 0, Opts{}); !errors.Is(c.Failure(), ErrCancelled) {
		t.Fatal("submitted under the context of an ended task")
	}
	close(gate)
	if v, err := child.get(e, ctx); v != 1 || err != nil {
		t.Fatal(v, err)
	}
}

func TestCancelTask(t *testing.T) {
	e := start(t, Config{Grace: 20 * time.Millisecond, stall: time.Hour})
	ctx := with(e)
	wait := fn("wait", func(c context.Context, _ int) (int, error) { <-c.Done(); return 0, c.Err() })
	c := submit[int, int](e, ctx, wait, 0, Opts{NoInline: true})
	started(t, e, 1)
	c.Cancel()
	if err := e.Await(ctx, &c.Task); err != context.Canceled {
		t.Fatal(err)
	}
	if c.Cancel() {
		t.Fatal("cancelled what was done")
	}
	gate := make(chan struct{})
	deaf := fn("deaf", func(c context.Context, _ int) (int, error) { <-gate; return 0, nil })
	c = submit[int, int](e, ctx, deaf, 0, Opts{NoInline: true})
	started(t, e, 1)
	c.Cancel()
	if err := e.Await(ctx, &c.Task); !errors.Is(err, ErrCancelled) {
		t.Error(err)
	}
	until(t, "abandoned is counted", func() bool { return e.Stats().Abandoned == 1 })
	c = submit[int, int](e, ctx, deaf, 0, Opts{NoInline: true})
	started(t, e, 1)  // beside the one that was abandoned
	c.Fail(ErrClosed) // by somebody else
	until(t, "who was failed is counted", func() bool { return e.Stats().Abandoned == 2 })
	close(gate)
	end := busy(t, e)
	q := submit[int, int](e, ctx, deaf, 0, Opts{})
	if !q.Cancel() || !errors.Is(q.Failure(), ErrCancelled) {
		t.Fatal("queued:", q.Failure())
	}
	end()
}

// A getter keeps its deadline even when nobody has started the task.
func TestAwaitKeepsItsDeadline(t *testing.T) {
	e := start(t, Config{})
	slow := fn("slow", func(context.Context, int) (int, error) { time.Sleep(200 * time.Millisecond); return 1, nil })
	c := submit[int, int](e, with(e), slow, 0, Opts{})
	short, cancel := context.WithTimeout(with(e), 10*time.Millisecond)
	defer cancel()
	if err := e.Await(short, &c.Task); !errors.Is(err, context.DeadlineExceeded) || c.Ready() {
		t.Fatal(err, c.Ready())
	}
	if v, err := c.get(e, with(e)); v != 1 || err != nil {
		t.Fatal(v, err)
	}
	for range 200 { // learns that inc is short
		submit[int, int](e, with(e), inc, 0, Opts{}).get(e, with(e))
	}
	if d := inc.Learned(); d == 0 {
		t.Fatal(d)
	}
}

func TestRootForImports(t *testing.T) {
	e := start(t, Config{User: "runtime"})
	base, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, 3))
	root := e.NewRoot(base)
	if root.Value(key{}) != 3 || UserOf(root) != "runtime" || root.Err() != nil {
		t.Fatal("root")
	}
	deep := fn("deep", func(c context.Context, _ int) (int, error) {
		inner := fn("inner", func(c context.Context, _ int) (int, error) { <-c.Done(); return 0, c.Err() })
		if UserOf(c) != "runtime" {
			return 0, errors.New("user lost")
		}
		return 0, e.Await(context.Background(), &submit[int, int](e, c, inner, 0, Opts{NoInline: true}).Task)
	})
	c := submit[int, int](e, root, deep, 0, Opts{NoInline: true})
	started(t, e, 2)
	cancel()
	if err := e.Await(context.Background(), &c.Task); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// Roots that nobody needs any more leave a long-lived context.
func TestRootsAreCollected(t *testing.T) {
	e := start(t, Config{})
	ctx, cancel := context.WithCancel(with(e))
	defer cancel()
	var gone atomic.Int32
	for range 100 {
		r := e.newRoot(ctx, false)
		runtime.AddCleanup(r, func(int) { gone.Add(1) }, 0)
	}
	until(t, "roots collected", func() bool { runtime.GC(); return gone.Load() >= 99 })
}

func TestClose(t *testing.T) {
	e := New(Config{Slots: 2, stall: time.Hour})
	ctx := with(e)
	heeds := fn("heeds", func(c context.Context, _ int) (int, error) { <-c.Done(); return 0, c.Err() })
	gate := make(chan struct{})
	deaf := fn("deaf", func(context.Context, int) (int, error) { <-gate; return 0, nil })
	a, b := submit[int, int](e, ctx, heeds, 0, Opts{}), submit[int, int](e, ctx, deaf, 0, Opts{})
	started(t, e, 2)
	q := submit[int, int](e, ctx, inc, 0, Opts{})
	h := then(e, ctx, b)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := e.Close(short); !errors.Is(err, ErrAbandoned) || e.Stats().Abandoned != 1 {
		t.Fatal(err, e.Stats())
	}
	for c, want := range map[*call[int, int]]error{a: context.Canceled, b: ErrClosed, q: ErrClosed, h: ErrClosed, submit[int, int](e, ctx, inc, 0, Opts{}): ErrClosed} {
		if !errors.Is(c.Failure(), want) {
			t.Error(c.Func().Name, c.Failure())
		}
	}
	close(gate)
	if err := e.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// Submitters that race with Close lose nothing: each task ends.
func TestCloseUnderLoad(t *testing.T) {
	for range 20 {
		e := New(Config{Slots: 2})
		ctx := with(e)
		done := make(chan []*call[int, int])
		for range 3 {
			go func() {
				var cs []*call[int, int]
				for i := range 2000 {
					cs = append(cs, submit[int, int](e, ctx, inc, i, Opts{Milli: []uint32{0, 0, 0, 2000, NoSlot}[i%5]}))
				}
				done <- cs
			}()
		}
		runtime.Gosched()
		if err := e.Close(ctx); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for _, c := range <-done {
				if err := e.Await(ctx, &c.Task); err != nil && err != ErrClosed {
					t.Fatal(err)
				}
			}
		}
	}
}
