package testbed_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// Shared is what the driver "cpus" has done: tasks in all, and the most at a time since it last told.
type Shared struct{ Done, Most int64 }

var (
	ShareSpin = api.Func1(shareSpin)

	shareDone, shareNow, shareMost atomic.Int64
)

// shareSpin computes for about a millisecond.
func shareSpin(_ context.Context, x uint64) (uint64, error) {
	n := shareNow.Add(1)
	for most := shareMost.Load(); n > most && !shareMost.CompareAndSwap(most, n); most = shareMost.Load() {
	}
	for range 500_000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	shareNow.Add(-1)
	shareDone.Add(1)
	return x, nil
}

func init() {
	drivers["cpus"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		over, stop := context.WithCancel(ctx)
		defer stop()
		fed := make(chan error, 1)
		go func() { fed <- feed(over) }()
		for {
			var end bool
			if err := s.Hear(&end); err != nil {
				return err
			}
			if end {
				stop()
				return <-fed
			}
			if err := s.Say(Shared{shareDone.Load(), shareMost.Swap(shareNow.Load())}); err != nil {
				return err
			}
		}
	})
}

// feed sees to it that more tasks are queued than there are CPUs.
func feed(ctx context.Context) error {
	var open []api.Ref[uint64]
	for x := uint64(1); ; x++ {
		open = append(open, ShareSpin.Remote(ctx, x))
		if len(open) < 32 {
			continue
		}
		_, rest, err := api.Wait(ctx, open, api.NumReturns(16))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		open = rest
	}
}

// TestDriversShareCPUs has two programs on one node that each could use all CPUs. They get half each; when one is killed
// the other gets all.
func TestDriversShareCPUs(t *testing.T) {
	bed := testbed.New(t)
	node := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(bed.Folder("other"), "program")
	if err := otherProgram(exe, other); err != nil {
		t.Fatal(err)
	}
	one, two := node.Driver("cpus"), node.DriverOf(other, "cpus")
	look := func(p *testbed.Process) (s Shared) {
		p.Tell(false)
		p.Hear(&s)
		return s
	}
	testbed.Until(t, 20*time.Second, func() bool { return look(one).Done > 0 && look(two).Done > 0 }, func() string { return "a driver runs nothing" })

	var share float64
	testbed.Until(t, 40*time.Second, func() bool {
		const enough = 1000
		a, b := look(one).Done, look(two).Done
		var x, y int64
		testbed.Until(t, 30*time.Second, func() bool { x, y = look(one).Done-a, look(two).Done-b; return x+y >= enough },
			func() string { return "the drivers' tasks take too long" })
		share = float64(x) / float64(x+y)
		t.Logf("tasks of the drivers: %d and %d, %.3f are the first's", x, y, share)
		return share > 0.4 && share < 0.6
	}, func() string { return "the drivers do not share the CPUs evenly" })

	look(two)
	if most := look(two).Most; most > 2 {
		t.Errorf("%d tasks of one driver ran at a time on 2 CPUs", most)
	}
	one.Kill()
	testbed.Until(t, 20*time.Second, func() bool { return look(two).Most == 2 }, func() string { return "the killed driver's CPU is not given back" })
	two.Tell(true)
	two.Succeed(time.Minute)
	testbed.Until(t, 10*time.Second, func() bool { s := node.Status(); return s.CPUs.Free == s.CPUs.Total }, func() string { return "CPUs are still taken" })
}

// otherProgram makes an executable that does the same and has another hash.
func otherProgram(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	_, err = out.WriteString("another program\n")
	return err
}
