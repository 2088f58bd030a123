package sched

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// TestFirstGoexit: a function's first call ends the goroutine that runs it, and whoever gets its result goes on.
func TestFirstGoexit(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	exit := fn("exit", func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil })
	outer := fn("outer", func(c context.Context, _ int) (int, error) {
		_, err := submit[int, int](e, c, exit, 0, Opts{}).get(e, c)
		if !errors.Is(err, ErrGoexit) {
			return 0, err
		}
		return 7, nil
	})
	if v, err := submit[int, int](e, ctx, outer, 0, Opts{}).get(e, ctx); v != 7 || err != nil {
		t.Fatal(v, err)
	}
	other := fn("other", func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil })
	ended := make(chan error, 1)
	go func() {
		err := errors.New("the getter's goroutine ended")
		defer func() { ended <- err }()
		_, err = submit[int, int](e, ctx, other, 0, Opts{}).get(e, ctx)
	}()
	if err := <-ended; !errors.Is(err, ErrGoexit) {
		t.Error(err)
	}
}

// settled is a function that has run so often that it is known to be fast.
func settled(t *testing.T, e *Engine, f *Func) {
	t.Helper()
	until(t, "the function is known to be fast", func() bool {
		submit[int, int](e, with(e), f, 0, Opts{}).get(e, with(e))
		return !f.everyRun()
	})
}

// TestGoexitOfAKnownFunction: one that ends the goroutine after it has returned before takes its getter's with it. The task
// of the getter says by whom, and its function is not blamed.
func TestGoexitOfAKnownFunction(t *testing.T) {
	e := start(t, Config{Slots: 1})
	ctx := with(e)
	inner := fn("inner", func(_ context.Context, x int) (int, error) {
		if x == 1 {
			runtime.Goexit()
		}
		return x, nil
	})
	settled(t, e, inner)
	middle := fn("middle", func(c context.Context, x int) (int, error) {
		return submit[int, int](e, c, inner, x, Opts{}).get(e, c)
	})
	settled(t, e, middle)
	outer := fn("outer", func(c context.Context, x int) (int, error) {
		return submit[int, int](e, c, middle, x, Opts{}).get(e, c)
	})
	c := submit[int, int](e, ctx, outer, 1, Opts{NoInline: true})
	if _, err := c.get(e, ctx); !errors.Is(err, ErrGoexit) || !strings.Contains(err.Error(), "by inner") {
		t.Errorf("the getter's task ended with %v", err)
	}
	if !inner.Exits() || middle.Exits() || outer.Exits() {
		t.Error("known to end goroutines:", inner.Exits(), middle.Exits(), outer.Exits())
	}
	if v, err := submit[int, int](e, ctx, outer, 2, Opts{}).get(e, ctx); v != 2 || err != nil {
		t.Error(v, err)
	}
	e.exits.Range(func(k, v any) bool { t.Error("left:", v); return true })
}

// TestGettersOfFastFunctions: where a task waits that a getter runs whose function is known to be fast, the tasks below it
// on the stack are found: the getter, and the one at the bottom.
func TestGettersOfFastFunctions(t *testing.T) {
	e := start(t, Config{Slots: 1})
	never := new(Task)
	never.InitExternal(&Func{Name: "never"}, nil)
	at := make(chan *Task, 3)
	var fast *Func
	fast = fn("fast", func(c context.Context, depth int) (int, error) {
		switch depth {
		case 0:
			return 0, nil
		case 1:
			at <- TaskOf(c)
			return 1, e.Await(c, never)
		}
		at <- TaskOf(c)
		return submit[int, int](e, c, fast, depth-1, Opts{}).get(e, c)
	})
	settled(t, e, fast)
	bottom := submit[int, int](e, with(e), fast, 3, Opts{NoInline: true})
	a, b, c := <-at, <-at, <-at
	if a != &bottom.Task {
		t.Fatal("another task came first")
	}
	var w Wait
	until(t, "the task waits and has counted its stack", func() bool {
		e.Waiting(0)
		for _, x := range e.Waits(1) {
			if x.Task == c && x.Frames >= 0 {
				w = x
			}
		}
		return w.Task != nil
	})
	if w.Frames != 3 || !c.RunBy(b) || c.RunBy(a) || !b.RunBy(a) || a.RunBy(b) || e.BaseOf(c, w.Frames) != a || e.BaseOf(c, 2) != nil {
		t.Error("stack:", w.Frames, c.RunBy(b), c.RunBy(a), b.RunBy(a), a.RunBy(b), e.BaseOf(c, w.Frames) == a, e.BaseOf(c, 2))
	}
	never.Finish()
	if v, err := bottom.get(e, with(e)); v != 1 || err != nil {
		t.Error(v, err)
	}
}
