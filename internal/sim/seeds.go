package sim

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/invariant"
)

// raceShare is which part of the runs there is under the race detector: one goroutine races with nobody, and takes ten times as
// long there. What these runs still show is that invariants hold.
const raceShare = 10

// Seeds runs f as many times, always with the same seeds, so that nobody's change fails for what it has not changed. KADRE_SIM=n is for
// looking for defects: n runs with seeds that nobody has had. KADRE_SEED=s runs f once, with that one. The first seed is printed
// before the runs, that of a failing run when it fails.
func Seeds(t *testing.T, runs int, f func(t testing.TB, seed uint64)) {
	t.Helper()
	first := uint64(1)
	if invariant.Race {
		runs = max(1, runs/raceShare)
	}
	if n, ok := number(t, "KADRE_SIM"); ok {
		first, runs = uint64(time.Now().UnixNano()), int(n)
	}
	if n, ok := number(t, "KADRE_SEED"); ok {
		first, runs = n, 1
	}
	t.Logf("KADRE_SEED=%d and the %d after it", first, runs-1)
	for i := range runs {
		seed := first + uint64(i)
		f(t, seed)
		if t.Failed() {
			t.Fatalf("replay with KADRE_SEED=%d", seed)
		}
	}
}

// number is what an environment variable is set to.
func number(t *testing.T, name string) (n uint64, ok bool) {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("sim: %s=%q is no number: %v", name, s, err)
	}
	return n, true
}
