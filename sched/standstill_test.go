package sched

import (
	"context"
	"testing"
	"time"
)

// TestStandstill: what counts is whether anything begins.
func TestStandstill(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(sec int) time.Time { return begin.Add(time.Duration(sec) * time.Second) }
	type look struct {
		sec, queued int
		sign        uint64
		told        int // seconds; 0: nothing
	}
	for name, looks := range map[string][]look{
		"nothing begins, and it is told ever more seldom": {{0, 5, 1, 0}, {29, 5, 1, 0}, {30, 5, 1, 30}, {31, 6, 1, 0}, {59, 9, 1, 0}, {60, 9, 1, 60}, {119, 9, 1, 0}, {121, 9, 1, 121}},
		"executors take others":                           {{0, 5, 1, 0}, {20, 5, 2, 0}, {40, 5, 3, 0}, {60, 6, 4, 0}, {90, 6, 4, 30}},
		"some are taken by others":                        {{0, 5, 1, 0}, {20, 4, 1, 0}, {40, 9, 1, 0}, {45, 8, 1, 0}, {74, 8, 1, 0}, {75, 8, 1, 30}},
		"nothing waits":                                   {{0, 0, 1, 0}, {40, 0, 1, 0}, {80, 1, 1, 0}, {81, 1, 1, 0}, {110, 1, 1, 30}},
	} {
		var s standstill
		for _, l := range looks {
			long, tell := s.look(at(l.sec), l.queued, l.sign, 30*time.Second)
			if tell != (l.told > 0) || long != time.Duration(l.told)*time.Second {
				t.Errorf("%s: after %d s: %v, %v", name, l.sec, long, tell)
			}
		}
	}
}

// TestStandstillIsTold: an engine that has no CPU says so, and one whose tasks begin does not.
func TestStandstillIsTold(t *testing.T) {
	w := &words{}
	told := make(chan time.Duration, 1000)
	e := start(t, Config{Slots: 2, CPU: w, still: 30 * time.Millisecond, Standstill: func(_ *Engine, d time.Duration) { told <- d }})
	ctx := with(e)
	task := fn("task", func(context.Context, int) (int, error) { return 0, nil })
	x := submit[int, int](e, ctx, task, 0, Opts{})
	first := <-told
	if second := <-told; first < 30*time.Millisecond || second < 2*first {
		t.Errorf("told after %v and %v", first, second)
	}
	w.free.Store(1)
	until(t, "the task to run", x.Ready)
}
