package testbed_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// Ranges of Map that other nodes take.

var RangeStep = api.Func1(rangeStep, api.RegisterAs("range step"))

// rangeStep computes for some microseconds and fails for some numbers.
func rangeStep(_ context.Context, n int) (int, error) {
	x := uint64(n) + 1
	for range 2500 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	if n%50 == 7 || x == 0 {
		return 0, fmt.Errorf("number %d", n)
	}
	return 2 * n, nil
}

func init() {
	drivers["range"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		var n int
		if err := s.Hear(&n); err != nil {
			return err
		}
		xs := make([]int, n)
		for i := range xs {
			xs[i] = i
		}
		refs := RangeStep.Map(ctx, xs)
		for i, r := range refs {
			v, err := r.Get(ctx)
			if fails := i%50 == 7; fails && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("number %d", i))) || !fails && (v != 2*i || err != nil) {
				return fmt.Errorf("task %d: %d, %w", i, v, err)
			}
		}
		return s.Say(len(refs))
	})
}

// TestRangesTravel has another node take tasks of a Map: they go as ranges and their results come together, so that there
// are fewer frames between the nodes than tasks.
func TestRangesTravel(t *testing.T) {
	bed := testbed.New(t)
	one := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "1"}})
	two := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "1"}})
	testbed.Until(t, 20*time.Second, func() bool { return len(one.Status().Members) == 2 && len(two.Status().Members) == 2 }, func() string { return "the nodes do not meet" })
	const tasks = 100_000
	for name, env := range map[string][]string{"in process": nil, "isolated": {"KADRE_ISOLATE=1"}} {
		bed.Sub(t, name, func(t *testing.T) {
			for range 10 { // one node may be done before the other begins
				before := two.Status()
				d := one.Driver("range", env...)
				d.Tell(tasks)
				var told int
				d.Hear(&told)
				d.Succeed(time.Minute)
				after := two.Status()
				in := after.Steals.TasksIn - before.Steals.TasksIn
				frames := after.Bytes.FramesIn - before.Bytes.FramesIn + after.Bytes.FramesOut - before.Bytes.FramesOut
				t.Logf("%d of %d tasks were taken in %d grants; %d frames went and came", in, tasks, after.Steals.Granted-before.Steals.Granted, frames)
				if in > 1000 {
					if frames > in {
						t.Errorf("%d frames for %d tasks", frames, in)
					}
					return
				}
			}
			t.Error("no tasks were taken")
		})
	}
	two.Stop()
	one.Stop()
}
