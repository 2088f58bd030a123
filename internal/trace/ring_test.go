package trace

import (
	"sync"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

func TestKeepsTheLast(t *testing.T) {
	for _, n := range []int{0, 1, Size - 1, Size, Size + 1, 3*Size + 7} {
		var r Ring
		for range n {
			r.Add(Event{Kind: "x"})
		}
		got := r.Events()
		if len(got) != min(n, Size) {
			t.Fatalf("after %d: %d events", n, len(got))
		}
		for i, e := range got {
			if want := uint64(n - len(got) + i + 1); e.Seq != want || e.Time == 0 {
				t.Fatalf("after %d, event %d: Seq %d, want %d", n, i, e.Seq, want)
			}
		}
	}
}

func TestConcurrent(t *testing.T) {
	var r Ring
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				r.AddTasks(Event{Kind: "moved"}, []id.Task{{1}, {2}})
				r.Events()
			}
		})
	}
	wg.Wait()
	if got := r.Events(); len(got) != 800 || got[799].Seq != 800 {
		t.Fatalf("%d events", len(got))
	}
}
