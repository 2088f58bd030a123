package sched

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestProcsAndSlots: as many tasks run as there are slots, which by default are as many as GOMAXPROCS says, whether there are
// fewer Ps than slots or more.
func TestProcsAndSlots(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, x := range []struct{ procs, slots, want int }{{1, 0, 1}, {4, 0, 4}, {4, 1, 1}, {1, 4, 4}, {2, 3, 3}} {
		runtime.GOMAXPROCS(x.procs)
		e := start(t, Config{Slots: x.slots, stall: time.Hour})
		if x.slots == 0 { // start fills it in
			e = New(Config{stall: time.Hour})
		}
		if e.Slots() != x.want {
			t.Errorf("%d Ps, %d slots wanted: %d slots", x.procs, x.slots, e.Slots())
		}
		var now, most atomic.Int32
		gate := make(chan struct{})
		f := fn("stays", func(context.Context, int) (int, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-gate // the engine does not see it
			now.Add(-1)
			return 0, nil
		})
		var ts []*Task
		for range 3 * x.want {
			ts = append(ts, &submit[int, int](e, with(e), f, 0, Opts{}).Task)
		}
		until(t, "as many tasks run as there are slots", func() bool { return int(now.Load()) == x.want })
		runtime.Gosched()
		if n := e.Stats().Running; n != x.want {
			t.Errorf("%d Ps, %d slots: %d in use", x.procs, x.want, n)
		}
		close(gate)
		if err := e.WaitN(with(e), ts, len(ts)); err != nil {
			t.Error(err)
		}
		if int(most.Load()) > x.want {
			t.Errorf("%d Ps, %d slots: %d tasks at a time", x.procs, x.want, most.Load())
		}
		if x.slots == 0 {
			if err := e.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
}
