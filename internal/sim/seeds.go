package sim

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// Seeds runs f as many times with seeds of its own, or once with KADRE_SEED. The first seed is printed
// before the runs, that of a failing run when it fails.
func Seeds(t *testing.T, runs int, f func(t testing.TB, seed uint64)) {
	t.Helper()
	first := uint64(time.Now().UnixNano())
	if s := os.Getenv("KADRE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("sim: KADRE_SEED=%q is no number: %v", s, err)
		}
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
