package sched

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
)

func TestFailures(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	c := submit[int, int](e, ctx, odd, 3, Opts{})
	if _, err := c.get(e, ctx); !errors.Is(err, errOdd) || c.Failure() != err {
		t.Fatal(err)
	}
	var pe *PanicError
	if _, err := submit[int, int](e, ctx, odd, 8, Opts{}).get(e, ctx); !errors.As(err, &pe) || pe.Value != "boom" || !strings.Contains(string(pe.Stack), "sched") {
		t.Fatal(err)
	}
	if _, err := then(e, ctx, submit[int, int](e, ctx, odd, 3, Opts{})).get(e, ctx); !errors.Is(err, errOdd) {
		t.Fatal(err)
	}
	cs := []*Task{&submit[int, int](e, ctx, odd, 2, Opts{}).Task, &submit[int, int](e, ctx, odd, 5, Opts{}).Task, &submit[int, int](e, ctx, odd, 7, Opts{}).Task}
	if i, err := awaitAll(e, ctx, cs); i != 1 || !errors.Is(err, errOdd) {
		t.Fatal(i, err)
	}
}

func TestGoexit(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	exit := fn("exit", func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil })
	for range 20 {
		c := submit[int, int](e, ctx, exit, 1, Opts{NoInline: true})
		if _, err := c.get(e, ctx); !errors.Is(err, ErrGoexit) {
			t.Fatal(err)
		}
	}
	c := submit[int, int](e, ctx, exit, 1, Opts{}) // known by now: the test's goroutine does not run it
	if _, err := c.get(e, ctx); !errors.Is(err, ErrGoexit) {
		t.Fatal(err)
	}
	c = submit[int, int](e, ctx, exit, 1, Opts{Milli: NoSlot})
	if _, err := c.get(e, ctx); !errors.Is(err, ErrGoexit) {
		t.Fatal(err)
	}
	c = submit[int, int](e, ctx, exit, 1, Opts{Milli: 2000})
	if _, err := c.get(e, ctx); !errors.Is(err, ErrGoexit) {
		t.Fatal(err)
	}
	until(t, "slots back", func() bool { return e.Stats().Running == 0 })
	if v, err := submit[int, int](e, ctx, fib, 12, Opts{}).get(e, ctx); v != 144 || err != nil {
		t.Fatal(v, err)
	}
	until(t, "executors replaced", func() bool { s := e.Stats(); return s.Idle == s.Executors && s.Executors <= 6 })
}
