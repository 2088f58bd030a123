package sched

import (
	"context"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call is what package api makes of a Task: result and argument behind the header.
type call[A, R any] struct {
	Task
	v R
	a A
}

func fn[A, R any](name string, f func(context.Context, A) (R, error)) *Func {
	return &Func{Name: name, Run: func(t *Task) {
		c := (*call[A, R])(unsafe.Pointer(t))
		v, err := f(t, c.a)
		if err != nil {
			t.Fail(err)
			return
		}
		c.v = v
		t.Finish()
	}}
}

func submit[A, R any](e *Engine, ctx context.Context, f *Func, a A, o Opts) *call[A, R] {
	c := &call[A, R]{a: a}
	e.Submit(ctx, &c.Task, f, o)
	return c
}

func (c *call[A, R]) get(e *Engine, ctx context.Context) (R, error) {
	err := e.Await(ctx, &c.Task)
	if err != nil {
		var zero R
		return zero, err
	}
	return c.v, nil
}

func start(t testing.TB, cfg Config) *Engine {
	if cfg.Slots == 0 {
		cfg.Slots = 2
	}
	e := New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Error(err, e.Stats())
		}
	})
	return e
}

// until polls for ok, for 10 s at most.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatal("not within 10 s:", what)
		}
	}
}

// started polls until n tasks run on goroutines of the engine.
func started(t testing.TB, e *Engine, n int) {
	t.Helper()
	until(t, "tasks started", func() bool {
		k := 0
		for x := range e.active() {
			if !x.Ready() {
				k++
			}
		}
		return k == n
	})
}

// awaitAll awaits all of ts: the error of the first that failed and its index, or ctx's and -1.
func awaitAll(e *Engine, ctx context.Context, ts []*Task) (int, error) {
	if left, _ := e.RunAll(ctx, len(ts), func(i int) *Task { return ts[i] }); left == 0 {
		return -1, nil
	}
	at, first := -1, error(nil)
	for i := len(ts) - 1; i >= 0; i-- {
		if err := e.Await(ctx, ts[i]); err != nil {
			if !ts[i].Ready() {
				return -1, err
			}
			at, first = i, err
		}
	}
	return at, first
}
