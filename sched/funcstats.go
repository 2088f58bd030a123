package sched

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// sampleEvery is of how many runs of a fast function one is measured; of a slow one each is.
	sampleEvery = 64
	// alwaysTimed is the learned run time from which on every run is measured: it costs nothing beside such a run, and
	// what is decided by the figure is decided near it.
	alwaysTimed = 10 * time.Microsecond
	// veryLong is what one run takes after which some are measured in any case: of a function that has become slow all are
	// before many of them have run.
	veryLong = 100 * alwaysTimed
	// slowMost is the figure of runs.slow above which most runs are slow.
	slowMost = 128
)

// runs counts a function's measured runs by their length: 1 in 64 of a fast function, so that counting costs nothing.
type runs struct {
	about  atomic.Int64 // all runs
	slow   atomic.Int32 // how many of 256 are as long as alwaysTimed, leaning to the last ones
	failed atomic.Int64
	bins   [40]atomic.Uint32 // by the number of bits of their nanoseconds
}

// FuncStats is what the runs of a function were like.
type FuncStats struct {
	Name   string
	Runs   int64         // about: of runs below 10 us, 1 in 64 is measured and stands for 64
	P50    time.Duration // of the measured runs, up to a factor of two, as P99
	P99    time.Duration
	Failed int64 // with an error, a panic, or the end of their goroutine
}

// everyRun says whether each run of f is to be measured. Of a function with few long runs among many short ones it is not so:
// after a long run of a tree of tasks come all those that its sibling starts, each within the other.
func (f *Func) everyRun() bool {
	d := f.learned.Load()
	return d == 0 || d > int64(alwaysTimed) && f.runs.slow.Load() > slowMost
}

// usuallySlow says whether most runs of f are as long as alwaysTimed, or none is known. Learned leans to the slow side: it is
// long for a function of which one run in a hundred is.
func (f *Func) usuallySlow() bool { return f.learned.Load() == 0 || f.runs.slow.Load() > slowMost }

// Brief says whether a run of f takes at most d as learned, or most of its runs are short: one that was held up on its way,
// by a page that had to come or by who else wanted the CPU, says nothing of the next.
func (f *Func) Brief(d time.Duration) bool {
	l := f.Learned()
	return l != 0 && (l <= d || !f.usuallySlow())
}

// noteSlow takes in one run. A lost update is one run less.
func (r *runs) noteSlow(d time.Duration, first bool) {
	old, now := r.slow.Load(), int32(0)
	if d >= alwaysTimed {
		now = 256
	}
	if !first && d < veryLong {
		now = old + (now-old)/8
	}
	if now != old {
		r.slow.Store(now)
	}
}

// measured takes in one run, which stands for others unless every is set.
func (f *Func) measured(d time.Duration, every bool) {
	f.runs.noteSlow(d, f.learned.Load() == 0)
	f.learn(d)
	n := int64(1)
	if !every {
		n = sampleEvery
	}
	f.runs.about.Add(n)
	f.runs.bins[min(bits.Len64(uint64(max(d, 0))), len(f.runs.bins)-1)].Add(1)
}

// Stats looks.
func (f *Func) Stats() FuncStats {
	s := FuncStats{Name: f.Name, Runs: f.runs.about.Load(), Failed: f.runs.failed.Load()}
	var all, upto uint64
	for i := range f.runs.bins {
		all += uint64(f.runs.bins[i].Load())
	}
	for i := range f.runs.bins {
		n := uint64(f.runs.bins[i].Load())
		if n == 0 {
			continue
		}
		upto += n
		d := time.Duration(1) << i
		if s.P50 == 0 && 2*upto >= all {
			s.P50 = d
		}
		if s.P99 == 0 && 100*upto >= 99*all {
			s.P99 = d
		}
	}
	return s
}
