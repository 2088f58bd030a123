package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Measure sets a scenario up, takes samples of both sides in turn and ends it. With samples 0 it takes
// the scenario's number; fewer than MinSamples become MinSamples.
func Measure(ctx context.Context, s Scenario, samples int) (row Row, err error) {
	fail := func(side string, err error) error {
		return fmt.Errorf("bench: %s/%s: %s: %w", s.Bench, s.Name, side, err)
	}
	if samples == 0 {
		samples = s.Samples
	}
	samples = max(samples, MinSamples)
	before := readLoad() // processes that the row starts count as ours, from their start to their end
	run, err := s.Setup(ctx)
	if err != nil {
		return Row{}, fail("set-up", err)
	}
	defer func() {
		if run.Close != nil {
			if e := run.Close(); e != nil {
				err = errors.Join(err, fail("end", e))
			}
		}
		row.ForeignCPU = before.foreign(readLoad())
	}()

	var mine, theirs []float64
	var spent cost
	for i := -1; i < samples; i++ { // -1 warms up
		v, n, err := sample(ctx, run.Ours, s.N)
		if err != nil {
			return Row{}, fail("ours", err)
		}
		if i >= 0 {
			mine = append(mine, round(v))
			spent.add(n)
		}
		if run.Ref == nil {
			continue
		}
		v, _, err = sample(ctx, run.Ref, s.N)
		if err != nil {
			return Row{}, fail("reference", err)
		}
		if i >= 0 {
			theirs = append(theirs, round(v))
		}
	}

	row = Row{Bench: s.Bench, Row: s.Name, Value: Median(mine), Unit: s.Unit, Better: s.Better, Samples: mine,
		Commit: commit(), Extra: machine()}
	if run.Ref != nil {
		ref := Median(theirs)
		ratio := row.Value / ref
		row.Ref, row.RefName, row.Ratio, row.RefSamples = &ref, s.RefName, &ratio, theirs
	}
	if s.Allocs {
		a := round(float64(spent.mallocs) / float64(s.N*samples))
		row.Allocs = &a
		row.Extra["page_faults"] = round(float64(spent.faults) / float64(samples))
		row.Extra["collections"] = round(float64(spent.collections) / float64(samples))
	}
	for k, v := range run.Extra {
		row.Extra[k] = v
	}
	return row, nil
}

// cost is what this process spent in samples beside time.
type cost struct {
	mallocs     uint64
	faults      int64  // pages that were touched for the first time, by all threads
	collections uint32 // of Go's collector
}

func (c *cost) add(d cost) {
	c.mallocs, c.faults, c.collections = c.mallocs+d.mallocs, c.faults+d.faults, c.collections+d.collections
}

// spentSoFar is what the process has spent since it began.
func spentSoFar() cost {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		u.Minflt = 0 // no system that we run on refuses it
	}
	return cost{m.Mallocs, int64(u.Minflt), m.NumGC}
}

// sample runs one side once, without the garbage of the run before, and says what it cost.
func sample(ctx context.Context, side Side, n int) (v float64, c cost, err error) {
	if err := ctx.Err(); err != nil {
		return 0, c, err
	}
	runtime.GC()
	before := spentSoFar()
	v, err = side(ctx, n)
	after := spentSoFar()
	if err == nil && (!(v > 0) || math.IsInf(v, 0)) {
		err = fmt.Errorf("measured %v", v)
	}
	return v, cost{after.mallocs - before.mallocs, after.faults - before.faults, after.collections - before.collections}, err
}

// Median is the middle of the samples, or the mean of the two in the middle. Without samples it is NaN.
func Median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	switch n := len(s); {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return s[n/2]
	default:
		return (s[n/2-1] + s[n/2]) / 2
	}
}

// round keeps the five digits that a sample can carry, and the lines of JSON short.
func round(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 5, 64), 64)
	if err != nil {
		return v
	}
	return r
}
