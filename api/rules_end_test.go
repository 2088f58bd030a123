package api_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// TestRulesOfTheEnd closes a driver's runtime: what it started ends, wherever it runs and whatever bounds it, and there is
// nothing left of its objects (KADRE_CHECK=empty). Of drivers that are killed internal/testbed has the tests.
func TestRulesOfTheEnd(t *testing.T) {
	t.Run("in process", func(t *testing.T) { driversEnd(t, false) })
	t.Run("in a worker", func(t *testing.T) {
		t.Setenv("KADRE_ISOLATE", "1")
		driversEnd(t, false)
	})
	t.Run("on another node", func(t *testing.T) { driversEnd(t, true) })
}

// startToEnd starts two nodes and gives the runtime of the first, which the test is to close, and the name of the second.
func startToEnd(t *testing.T) (*api.Runtime, context.Context, api.NodeID) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts worker processes")
	}
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("XDG_STATE_HOME", dir)
	start(t, api.Cluster("rules"))
	c, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	rt, err := api.Init(c, api.Embedded(), api.Cluster("rules"), api.NumCPUs(4), api.ObjectStoreMemory(64<<20), api.LogToDriver(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close() })
	c = rt.With(c)
	first := must(whoFunc.Remote(c).Get(c))(t).Node
	for c.Err() == nil {
		for _, n := range must(api.Nodes(c))(t) {
			if n.ID != first {
				return rt, c, n.ID
			}
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the nodes do not meet")
	return nil, nil, ""
}

func driversEnd(t *testing.T, away bool) {
	dir := t.TempDir()
	rt, c, other := startToEnd(t)
	var at place
	if away {
		at = place{[]api.TaskOption{api.OnNode(other, false)}, []api.ClassOption{api.OnNode(other, false)}, other}
	}
	note(dir, "go") // for the actor
	a := ruleMortal.Options(append([]api.ClassOption{api.OwnProcess()}, at.class...)...).Remote(c, dir)
	home := must(mortalLive.Remote(c, a).Get(c))(t)
	runs := must(whoFunc.Options(at.task...).Remote(c).Get(c))(t).PID
	held := rulesHeld.Options(append([]api.TaskOption{api.NumCPUs(0)}, at.task...)...)
	refs := []api.Ref[int]{held.Remote(c, dir, "bounded"), held.Remote(context.WithoutCancel(c), dir, "detached")}
	kept := must(api.Put(c, make([]byte, 1<<20)))(t)
	for _, name := range []string{"bounded", "detached"} {
		must(0, noted(c, dir, name+" began"))(t)
	}
	if err := rt.Close(); err != nil {
		t.Error(err)
	}
	plain, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for i, name := range []string{"bounded", "detached"} {
		if runs == os.Getpid() {
			must(0, noted(plain, dir, name+" ended"))(t)
		}
		if _, err := refs[i].Get(plain); !errors.Is(err, api.ErrClosed) && !errors.Is(err, api.ErrCancelled) {
			t.Errorf("%s gives %v", name, err)
		}
	}
	if _, err := kept.Get(plain); !errors.Is(err, api.ErrClosed) {
		t.Errorf("what was put gives %v", err)
	}
	for what, pid := range map[string]int{"actor": home.PID, "tasks": runs} {
		for pid != os.Getpid() && alive(pid) && plain.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if plain.Err() != nil {
			t.Errorf("process %d of the %s is left", pid, what)
		}
	}
}
