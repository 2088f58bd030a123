package sched

import (
	"context"
	"testing"
	"time"
)

// TestSlotOfABlockedTask: while tasks block one after the other, one comes that keeps its slot for long. The slots that
// the others gave back are for what is queued behind it.
func TestSlotOfABlockedTask(t *testing.T) {
	for range 40 {
		e := New(Config{Slots: 4, stall: time.Hour})
		ctx := with(e)
		var news Task
		news.InitExternal(&Func{Name: "news"}, nil)
		gate := make(chan struct{})
		waits := fn("waits", func(c context.Context, _ int) (int, error) { return 0, e.Await(c, &news) })
		deaf := fn("deaf", func(context.Context, int) (int, error) { <-gate; return 0, nil })
		var last *call[int, int]
		for i := range 100 {
			f := waits
			if i == 40 {
				f = deaf
			}
			submit[int, int](e, ctx, f, i, Opts{NoInline: true})
		}
		last = submit[int, int](e, ctx, inc, 1, Opts{NoInline: true})
		until(t, "the last task", last.Ready)
		close(gate)
		news.Finish()
		if err := e.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
