package bench

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestStoreRowsWork runs both sides of each row of suite store once. Setting up checks what the row needs,
// and the end that the arena is empty.
func TestStoreRowsWork(t *testing.T) {
	rows, err := Find(Scenarios(), "store")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range rows {
		if s.Name == "first-touch-1g" || testing.Short() && (s.N == 1 || strings.HasPrefix(s.Name, "api-")) {
			continue // a gigabyte, or several processes
		}
		run, err := s.Setup(t.Context())
		if err != nil {
			t.Fatal(s.Name, err)
		}
		for _, side := range []Side{run.Ours, run.Ref} {
			if side == nil {
				continue
			}
			if v, err := side(t.Context(), 50); err != nil || !(v > 0) {
				t.Errorf("%s: measured %v, %v", s.Name, v, err)
			}
		}
		if err := run.Close(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}

func TestLockExcludes(t *testing.T) {
	var word atomic.Uint32
	var all sync.WaitGroup
	n := 0
	for range 8 {
		all.Go(func() {
			l := &lock{&word}
			for range 2000 {
				l.lock()
				n++
				l.unlock()
			}
		})
	}
	all.Wait()
	if n != 8*2000 || word.Load() != 0 {
		t.Errorf("counted %d under the lock, which is %x now", n, word.Load())
	}
}

func TestHistogramKnowsTo3Percent(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 31, 32, 33, 64, 1000, 123_456, time.Second, time.Hour} {
		h := histogram{}
		h.add(d)
		if v := h.quantile(0.999); math.Abs(v-float64(d)) > 0.5+0.03*float64(d) {
			t.Errorf("%d became %v", d, v)
		}
	}
	h := histogram{}
	for range 998 {
		h.add(100)
	}
	h.add(10_000)
	h.add(1_000_000)
	if v := h.quantile(0.5); math.Abs(v-100) > 4 {
		t.Errorf("the median is %v", v)
	}
	if v := h.quantile(0.999); math.Abs(v-10_000) > 300 {
		t.Errorf("the 99.9th percentile is %v", v)
	}
}
