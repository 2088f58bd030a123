package api

import (
	"context"
	"time"

	"github.com/kadrehq/kadre/internal/proc"
)

// demand makes sure that somebody tells this process when the futures are done.
func demand(fs []*proc.Future) {
	for _, f := range fs {
		if p := f.Process(); p != nil {
			p.Demand(f)
		}
	}
}

// waitN returns when n of fs are done; its own time-out is no error.
func waitN(ctx context.Context, fs []*proc.Future, n int, timeout time.Duration) error {
	if len(fs) == 0 || n == 0 {
		return nil
	}
	p := firstProcess(fs)
	if p == nil {
		return nil // all carry errors
	}
	c := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		c, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if err := p.WaitN(c, fs, n); err != nil && (timeout <= 0 || ctx.Err() != nil) {
		return err
	}
	return nil
}

func firstProcess(fs []*proc.Future) *proc.Process {
	for _, f := range fs {
		if p := f.Process(); p != nil {
			return p
		}
	}
	return nil
}

// receive takes the next index from done. While it waits, a task gives its CPU slot back.
func receive(ctx context.Context, fs []*proc.Future, done <-chan int) (int, bool) {
	select {
	case i := <-done:
		return i, true
	default:
	}
	leave := func() func() { return func() {} }
	if p := firstProcess(fs); p != nil {
		leave = func() func() { return p.Block(ctx) }
	}
	defer leave()()
	select {
	case i := <-done:
		return i, true
	case <-ctx.Done():
		return 0, false
	}
}
