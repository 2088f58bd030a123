package bench

import (
	"context"
	"testing"

	"github.com/kadrehq/kadre/internal/trace"
)

// TestTraced runs one side with tracing on and the other with tracing off, and no row of another suite.
func TestTraced(t *testing.T) {
	var saw []bool
	side := func(context.Context, int) (float64, error) { saw = append(saw, trace.On()); return 1, nil }
	rows := Traced([]Scenario{
		{Bench: "walk", Name: "other"},
		{Bench: "local", Name: "row", N: 1, Setup: func(context.Context) (*Run, error) { return &Run{Ours: side}, nil }},
	})
	if len(rows) != 1 || rows[0].Name != "row-traced" {
		t.Fatal(rows)
	}
	trace.Stop()
	run, err := rows[0].Setup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Side{run.Ours, run.Ref} {
		if _, err := s(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if len(saw) != 2 || !saw[0] || saw[1] || trace.On() {
		t.Error(saw, trace.On())
	}
}
