package sched

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Random load from many goroutines; a stall of 10 s is a lost wake-up. KADRE_STRESS=10m for a long run.
func TestLoad(t *testing.T) {
	d := time.Second
	if s := os.Getenv("KADRE_STRESS"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	e := start(t, Config{})
	ctx := with(e)
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	var ops atomic.Int64
	stop := make(chan struct{})
	wg.Go(func() {
		for last := int64(-1); ; {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Second):
			}
			n := ops.Load()
			if n == last {
				panic(fmt.Sprint("stall after ", n, " operations: ", e.Stats()))
			}
			last = n
		}
	})
	var load sync.WaitGroup
	for g := range 6 {
		load.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), uint64(end.UnixNano())))
			for time.Now().Before(end) {
				loadStep(e, ctx, rnd)
				ops.Add(1)
			}
		})
	}
	load.Wait()
	close(stop)
	wg.Wait()
	t.Log(ops.Load(), "operations;", e.Stats())
}

func loadStep(e *Engine, ctx context.Context, rnd *rand.Rand) {
	check := func(v, want int, err error) {
		if v != want || err != nil {
			panic(fmt.Sprint(v, " instead of ", want, ": ", err))
		}
	}
	switch rnd.IntN(11) {
	case 0:
		v, err := submit[int, int](e, ctx, fib, 10, Opts{}).get(e, ctx)
		check(v, 55, err)
	case 1:
		v, err := submit[int, int](e, ctx, chain, 20, Opts{}).get(e, ctx)
		check(v, 20, err)
	case 2:
		c := submit[int, int](e, ctx, inc, 1, Opts{})
		n := rnd.IntN(20)
		for range n {
			c = then(e, ctx, c)
		}
		if rnd.IntN(2) == 0 {
			check(0, 0, e.WaitN(ctx, []*Task{&c.Task}, 1))
		}
		v, err := c.get(e, ctx)
		check(v, n+2, err)
	case 3:
		var ts []*Task
		for range rnd.IntN(40) {
			ts = append(ts, &submit[int, int](e, ctx, inc, 1, Opts{}).Task)
		}
		for n := range ts {
			check(0, 0, e.WaitN(ctx, ts, n+1))
		}
	case 4:
		c, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(300))*time.Microsecond)
		submit[time.Duration, int](e, ctx, nap1, time.Duration(rnd.IntN(300))*time.Microsecond, Opts{}).get(e, c)
		cancel()
	case 5:
		c, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(300))*time.Microsecond)
		var cs []*call[int, int]
		for range rnd.IntN(50) {
			cs = append(cs, submit[int, int](e, c, inc, 1, Opts{}))
		}
		for _, x := range cs {
			if v, err := x.get(e, ctx); err != nil && !errors.Is(err, ErrCancelled) || err == nil && v != 2 {
				panic(err)
			}
		}
		cancel()
	case 6:
		time.Sleep(time.Duration(rnd.IntN(15)) * time.Millisecond)
	case 7:
		c := submit[int, int](e, ctx, odd, rnd.IntN(50), Opts{})
		e.WaitN(ctx, []*Task{&c.Task}, 1)
		c.get(e, ctx)
	case 8:
		c := submit[int, int](e, ctx, tree, 4, Opts{Milli: []uint32{1000, 2000, NoSlot}[rnd.IntN(3)]})
		v, err := c.get(e, ctx)
		check(v, 121, err)
	case 10:
		n := rnd.IntN(2000)
		cs := submitAll(e, ctx, inc, n)
		ts := make([]*Task, n)
		for i, c := range cs {
			ts[i] = &c.Task
		}
		if rnd.IntN(2) == 0 {
			check(0, 0, e.WaitN(ctx, ts, n))
		}
		_, err := awaitAll(e, ctx, ts)
		check(0, 0, err)
	case 9:
		var cs []*call[int, int]
		for range 100 {
			cs = append(cs, submit[int, int](e, ctx, inc, 1, Opts{}))
		}
		e.Return(e.Take(rnd.IntN(50), func(*Task) bool { return true }))
		for _, c := range cs {
			v, err := c.get(e, ctx)
			check(v, 2, err)
		}
	}
}
