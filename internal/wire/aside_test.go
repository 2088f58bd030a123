package wire

import (
	"testing"
	"time"
)

// TestAside goes to another CPU when frames keep coming while the CPU is given away, and the more seldom the less that helps.
func TestAside(t *testing.T) {
	var s aside
	now := time.Unix(1, 0)
	frames := func(n int, gave bool) bool {
		due := false
		for range n {
			s.came(gave)
			due = s.due(now) || due
		}
		return due
	}
	if frames(100, false) || frames(sharedMost-1, true) {
		t.Fatal("went without need")
	}
	frames(1, false)
	if frames(sharedMost-1, true) || !frames(1, true) {
		t.Fatal("not after so many in a row")
	}
	last, moves := now, 0
	for range 10_000 { // every 1/4 ms, since it is of no use
		now = now.Add(asideLeast / 4)
		if frames(sharedMost, true) {
			if d := now.Sub(last); d < asideLeast || d > 2*asideMost {
				t.Fatalf("went again after %v", d)
			}
			last = now
			moves++
		}
	}
	if moves < 5 || moves > 20 {
		t.Fatalf("went %d times in 2.5 s", moves)
	}
	now = now.Add(time.Minute)
	if !frames(sharedMost, true) || s.pause != asideLeast {
		t.Fatal("does not begin anew after a while")
	}
}
