package node

import (
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

func TestTideFallsSlowly(t *testing.T) {
	var d tide
	if got := d.keep(800 << 20); got != 100<<20 {
		t.Errorf("in use: %d MiB kept", got>>20)
	}
	for i, want := range []int64{675, 506, 379, 284, 213, 160, 120, 90, 67, 64, 64} {
		if got := d.keep(0); got>>20 != want {
			t.Errorf("look %d after the end: %d MiB kept, want %d", i+1, got>>20, want)
		}
	}
}

// TestPagesOfAnIdleNodeGoBack needs some seconds: what was in use of late keeps its pages.
func TestPagesOfAnIdleNodeGoBack(t *testing.T) {
	c := private(testDir(t))
	c.ObjectStoreMemory = 256 << 20
	n := startNode(t, c)
	w, err := n.arena.Create(id.Object{1}, 180<<20, id.NewJob(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if u := n.arena.Audit(); u.Committed < 180<<20 {
		t.Fatalf("an object without pages:\n%v", u)
	}
	w.Abort()
	until(t, "pages to be given back", func() bool { return n.arena.Audit().Committed <= keepPages })
	if pages := n.Status().Store.Pages; pages > keepPages {
		t.Errorf("the status says %d bytes have pages", pages)
	}
}
