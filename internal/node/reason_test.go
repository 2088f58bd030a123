package node

import (
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/wire"
)

// TestReasons: the driver is told once why a task waits for a resource, seldom again, and not of a busy CPU alone.
func TestReasons(t *testing.T) {
	c := private(testDir(t))
	c.Resources = map[string]float64{"gpu": 1}
	n := startNode(t, c)
	f := driver(t, n, wire.Hello{}, nil)
	defer f.leave(true)
	if _, err := f.place(f.spec("holder", res("gpu", 1))); err != nil {
		t.Fatal(err)
	}
	ask := func(s wire.Spec) { // and wait for no answer
		if err := f.send(n.self(), wire.KPlace, s.Append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		ask(f.spec("waiter", res("gpu", 0.5)))
	}
	until(t, "both to wait", func() bool { return n.Status().Queued.Resources == 2 })
	begin := time.Now()
	n.tellReasons(begin.Add(2 * time.Second)) // too early
	n.tellReasons(begin.Add(6 * time.Second))
	n.tellReasons(begin.Add(7 * time.Second)) // not again
	n.tellReasons(begin.Add(13 * time.Second))
	for _, want := range []string{"waiter waits 6s", "waiter waits 13s"} {
		var l wire.LogLine
		if err := wire.Unmarshal(f.next(t, wire.KNote).Body, &l); err != nil {
			t.Fatal(err)
		}
		for _, w := range []string{want, "gpu=0.5 (0 of 1 free)", "gpu is in use by holder (process ", "1 more of its kind"} {
			if !strings.Contains(l.Line, w) {
				t.Errorf("%q does not say %q", l.Line, w)
			}
		}
	}
	for _, s := range []wire.Spec{f.spec("a", one), f.spec("b", one), f.spec("busy", one), f.spec("busy", one)} {
		ask(s)
	}
	until(t, "them to wait", func() bool { return n.Status().Queued.Resources > 2 })
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.place.shapes {
		for _, e := range s.queue {
			if onlyCPU(e) != (e.spec.Func != "waiter") {
				t.Errorf("%s lacks CPU alone: %v", e.spec.Func, onlyCPU(e))
			}
		}
	}
}

func one(s *wire.Spec) { s.CPU, s.Spread = 1000, true }
