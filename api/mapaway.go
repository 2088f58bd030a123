package api

import (
	"context"

	"github.com/kadrehq/kadre/internal/proc"
)

// away is all for a process whose tasks run in another one: what is ready goes there in ranges.
func away[A, R any](ctx context.Context, p *proc.Process, f *remote[A, R], refs []Ref[R], values []A, one func(i int) (A, []argument, error)) {
	if f.slab != nil && values != nil {
		size := max(blockLeast, (len(refs)+blockMost-1)/blockMost)
		for lo := 0; lo < len(refs); lo += size {
			hi := min(lo+size, len(refs))
			away1(ctx, p, f, refs[lo:hi], values[lo:hi])
		}
		return
	}
	ready := calls(ctx, p, f, refs, one, func(h *proc.Future) bool {
		p.Away(ctx, h, &f.opts)
		return true
	})
	p.SubmitRange(len(ready), func(i int) *proc.Future { return ready[i] })
}

// away1 makes calls of slabs of their own and submits them, as one range: the worker starts while the next is made.
func away1[A, R any](ctx context.Context, p *proc.Process, f *remote[A, R], refs []Ref[R], xs []A) {
	per := f.slab.n
	slabs := make([][]call[A, R], 0, (len(refs)+per-1)/per)
	for lo := 0; lo < len(refs); lo += per {
		b := make([]call[A, R], min(per, len(refs)-lo))
		for i := range b {
			c := &b[i]
			c.a = xs[lo+i]
			c.future.head.InitCall(f.fn, nil)
			p.Away(ctx, &c.future.head, &f.opts)
			refs[lo+i].f = &c.future
		}
		slabs = append(slabs, b)
	}
	p.SubmitRange(len(refs), func(i int) *proc.Future { return &slabs[i/per][i%per].future.head })
}
