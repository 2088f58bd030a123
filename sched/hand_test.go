package sched

import (
	"context"
	"testing"
)

// TestDepthFirst: getters do not run tasks of a function that has never returned. A tree of them is gone through depth first
// all the same: by levels, as thieves take tasks, it would need some 2,000 executors before the first returns.
func TestDepthFirst(t *testing.T) {
	e := start(t, Config{Slots: 2})
	var fib *Func
	fib = fn("fib", func(ctx context.Context, n int) (int, error) {
		if n < 2 {
			return n, nil
		}
		a, b := submit[int, int](e, ctx, fib, n-1, Opts{}), submit[int, int](e, ctx, fib, n-2, Opts{})
		x, err := a.get(e, ctx)
		if err != nil {
			return 0, err
		}
		y, err := b.get(e, ctx)
		return x + y, err
	})
	c := submit[int, int](e, context.Background(), fib, 22, Opts{})
	if v, err := c.get(e, context.Background()); v != 17711 || err != nil {
		t.Fatal(v, err)
	}
	if n := e.Stats().Spawns; n > 500 {
		t.Errorf("%d executors were started", n)
	}
}
