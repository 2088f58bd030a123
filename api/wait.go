package api

import (
	"context"
	"sync/atomic"
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

// awaitAll returns when n futures have results; at the first failure its index and error; or -1 and ctx's.
func awaitAll(ctx context.Context, n int, at func(int) *proc.Future) (int, error) {
	for i := range n {
		if p := at(i).Process(); p != nil {
			p.RunAll(ctx, n, at)
			break
		}
	}
	var pending []int
	for i := range n {
		f := at(i)
		if f.Finished() {
			continue
		}
		if !f.Ready() {
			pending = append(pending, i)
			f.Process().Demand(f)
		} else if err := failureOf(f); err != nil {
			return i, err
		}
	}
	if len(pending) == 0 {
		return -1, nil
	}
	failed, all := make(chan int, 1), make(chan struct{})
	var left atomic.Int64
	left.Store(int64(len(pending)))
	for _, i := range pending {
		f := at(i)
		f.OnDone(func() {
			if f.Failure() != nil {
				select {
				case failed <- i:
				default: // not the first
				}
			}
			if left.Add(-1) == 0 {
				close(all)
			}
		})
	}
	defer at(pending[0]).Process().Block(ctx)()
	select {
	case <-all:
	case i := <-failed:
		return i, failureOf(at(i))
	case <-ctx.Done():
		return -1, ctx.Err()
	}
	select {
	case i := <-failed:
		return i, failureOf(at(i))
	default:
		return -1, nil
	}
}

// failureOf is the failure of a future that is done.
func failureOf(f *proc.Future) error {
	if p := f.Process(); p != nil {
		return p.FailureOf(f)
	}
	return f.Failure()
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
