package bench

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/objstore/arena"
)

const (
	underLock = "the same under one lock that the processes share: 100 spins, then futex"
	perSecond = "op/s"

	wakeRounds = 50
	wakePause  = 500 * time.Microsecond // between rounds, so that the other side sleeps again
)

// storeProcs has the rows of several processes.
func storeProcs() []Scenario {
	row := func(s Scenario) Scenario {
		s.Bench, s.N, s.Samples, s.RefName = "store", 1, 9, underLock
		return s
	}
	wake := row(Scenario{
		Name: "seal-wake", Unit: microseconds, Better: Lower,
		Work:  "seals an object that another process's getter is blocked for; from before the seal until the getter has returned; a sample is the median of 50",
		Setup: sealWake,
	})
	wake.RefName = "a bare futex wake between the same two processes"
	return []Scenario{
		row(Scenario{
			Name: "put-1k-4p", Unit: perSecond, Better: Higher,
			Work:  "what put-1k does, in four processes at once for 100 ms; all together",
			Setup: withCrew(putting, func(c *crew, o order) Side { return c.throughput(o) }),
		}),
		row(Scenario{
			Name: "get-4p", Unit: perSecond, Better: Higher,
			Work:  "what get-1k-set does, in four processes at once for 100 ms on the same 1,000 objects; all together",
			Setup: withCrew(getting, func(c *crew, o order) Side { return c.throughput(o) }),
		}),
		row(Scenario{
			Name: "put-1k-4p-p999", Unit: nanoseconds, Better: Lower,
			Work:  "the 99.9th percentile of one put and delete of put-1k-4p",
			Setup: withCrew(putting, func(c *crew, o order) Side { o.Each = true; return c.tail(o) }),
		}),
		wake,
	}
}

// putting and getting prepare a crew's arena and give the order of a sample. Before the puts every entry has
// been in use once, so that no sample has the table of entries grow.
func putting(ctx context.Context, c *crew) (order, error) {
	all := newSet(crewEntries)
	if err := all.put(c.a); err != nil {
		return order{}, err
	}
	for _, o := range all.ids {
		c.a.Delete(o)
	}
	for _, k := range c.all {
		if err := k.ask(ctx, order{Do: "fill"}, &answer{}); err != nil {
			return order{}, err
		}
	}
	return order{Do: "put"}, nil
}

func getting(_ context.Context, c *crew) (order, error) {
	return order{Do: "get"}, newSet(smallSet).put(c.a)
}

// withCrew sets a row up with four processes; its reference is the same order under the lock.
func withCrew(prepare func(context.Context, *crew) (order, error), side func(*crew, order) Side) func(context.Context) (*Run, error) {
	return hired(crewSize, func(ctx context.Context, c *crew) (*Run, error) {
		o, err := prepare(ctx, c)
		locked := o
		locked.Lock = true
		return &Run{Ours: side(c, o), Ref: side(c, locked)}, err
	})
}

// hired sets a row up with some processes at an arena of their own.
func hired(n int, setup func(context.Context, *crew) (*Run, error)) func(context.Context) (*Run, error) {
	return func(ctx context.Context) (*Run, error) {
		return withArenaOf(arena.Config{Size: storeBytes, Entries: crewEntries}, func(a *arena.Arena) (*Run, error) {
			c, err := hire(ctx, a, n)
			if err != nil {
				return nil, err
			}
			run, err := setup(ctx, c)
			if err != nil {
				return nil, errors.Join(err, c.close())
			}
			run.Close = c.close
			return run, nil
		})(ctx)
	}
}

var sealWake = hired(1, func(_ context.Context, c *crew) (*Run, error) {
	a, k := c.a, c.all[0]
	seq := uint64(0)
	ours := func(ctx context.Context, _ int) (float64, error) {
		first := seq
		defer func() {
			for ; first < seq; first++ {
				a.Delete(objectOf(first))
			}
		}()
		return wakes(ctx, k, order{Do: "wake", First: first}, func() (int64, error) {
			w, err := a.Create(objectOf(seq), 1<<10, storeJob, 0)
			if err != nil {
				return 0, err
			}
			seq++
			at := time.Now().UnixNano()
			_, err = w.Seal(false)
			return at, err
		})
	}
	word := a.Doorbell(futexSlot)
	ref := func(ctx context.Context, _ int) (float64, error) {
		return wakes(ctx, k, order{Do: "futex", First: uint64(word.Load())}, func() (int64, error) {
			at := time.Now().UnixNano()
			word.Add(1)
			shm.Wake(word, 1)
			return at, nil
		})
	}
	return &Run{Ours: ours, Ref: ref}, nil
})

// wakes has a process wait and wakes it, again and again, and gives the median time that it took. Both
// processes read the same wall clock.
func wakes(ctx context.Context, k *child, o order, wake func() (at int64, err error)) (float64, error) {
	o.N = wakeRounds
	if err := k.orders.Encode(o); err != nil {
		return 0, err
	}
	var from []int64
	for range wakeRounds {
		<-time.After(wakePause)
		at, err := wake()
		if err != nil {
			return 0, err
		}
		from = append(from, at)
	}
	var said answer
	if err := k.hear(ctx, &said); err != nil {
		return 0, err
	}
	if len(said.At) != len(from) {
		return 0, errors.New("the other process was not woken as often as it should have been")
	}
	took := make([]float64, len(from))
	for i := range took {
		took[i] = perOp(time.Duration(said.At[i]-from[i]), 1, microseconds)
	}
	slices.Sort(took)
	return Median(took), nil
}
