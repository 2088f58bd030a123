package bench

import (
	"strings"
	"testing"
)

// TestNodeRowsWork runs both sides of each row of suite node once.
func TestNodeRowsWork(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	rows, err := Find(Scenarios(), "node")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range rows {
		if strings.Contains(s.Name, "-1g") {
			continue // two gigabytes
		}
		run, err := s.Setup(t.Context())
		if err != nil {
			t.Fatal(s.Name, err)
		}
		for _, side := range []Side{run.Ours, run.Ref} {
			if v, err := side(t.Context(), s.N); err != nil || !(v > 0) {
				t.Errorf("%s: measured %v, %v", s.Name, v, err)
			}
		}
		if err := run.Close(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}
