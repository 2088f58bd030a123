package testbed_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

func init() {
	drivers["idle task"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		w, err := WhereAfter.Remote(ctx, 0).Get(ctx)
		if err != nil {
			return err
		}
		return s.Say(w)
	})
	drivers["hog"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		ref := Burn.Remote(ctx, 34*time.Second)
		_, err := ref.Get(ctx)
		return err
	})
}

// Burn keeps a CPU busy and tells by its output that it runs.
var Burn = api.Proc1(func(_ context.Context, d time.Duration) error {
	os.Stderr.WriteString("it burns\n")
	for begin := time.Now(); time.Since(begin) < d; {
	}
	return nil
}, api.RegisterAs("testbed.Burn"))

// TestStandstill takes 35 s: KADRE_STANDSTILL=1 go test ./internal/testbed -run TestStandstill. A driver whose tasks have waited
// for half a minute for a CPU that another one has is told so.
func TestStandstill(t *testing.T) {
	if os.Getenv("KADRE_STANDSTILL") == "" {
		t.Skip("takes 35 s; KADRE_STANDSTILL=1 runs it")
	}
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "1"}})
	hog := n.Driver("hog")
	hog.AwaitStderr(10*time.Second, "it burns")
	d := n.Driver("idle task")
	d.AwaitStderr(40*time.Second, "none of 1 queued tasks", "whereAfter (1)", "other processes have CPUs of this node")
	var w Where
	d.Hear(&w)
	d.Succeed(20 * time.Second)
	hog.Succeed(20 * time.Second)
}
