package sched

import (
	"context"
	"testing"
)

// TestEvents keeps what happens seldom.
func TestEvents(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	bad := fn("bad", func(context.Context, int) (int, error) { panic("no") })
	if _, err := submit[int, int](e, ctx, bad, 0, Opts{}).get(e, ctx); err == nil {
		t.Fatal("a panic is no error")
	}
	es := e.Events()
	if len(es) != 1 || es[0].Kind != "panic" || es[0].Text != "bad" || es[0].Layer != "sched" {
		t.Fatal(es)
	}
}
