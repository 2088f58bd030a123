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

// watchAll is up to how many futures are watched for failures also while they are queued.
const watchAll = 1024

// awaitAll returns when n futures have results; at the first failure its index and error; or -1 and ctx's.
func awaitAll(ctx context.Context, n int, at func(int) *proc.Future) (int, error) {
	var p *proc.Process
	for i := range n {
		if p = at(i).Process(); p != nil {
			break
		}
	}
	var failed chan int
	left, through := n, p == nil
	for {
		if !through {
			left, through = p.RunAll(ctx, left, at)
		}
		for left > 0 && at(left-1).Finished() {
			left--
		}
		if left == 0 {
			return -1, nil
		}
		f := at(left - 1)
		if f.Ready() {
			if err := failureOf(f); err != nil {
				return left - 1, err
			}
			continue // it has finished since; those before it are yet to be waited for
		}
		if failed == nil {
			failed = make(chan int, 1)
			watch(left, at, through || left <= watchAll, failed)
		}
		if i, err := awaitOr(ctx, left, at, failed); err != nil {
			return -1, err
		} else if i >= 0 {
			return i, failureOf(at(i))
		}
	}
}

// watch has the index of a future sent that fails, of n. Those that wait for a slot, as the caller does, are left out
// unless queued is set: they are looked at again when those behind them are done.
func watch(n int, at func(int) *proc.Future, queued bool, failed chan int) {
	for i := range n {
		f := at(i)
		if f.Finished() || !queued && f.Queued() {
			continue
		}
		if p := f.Process(); p != nil {
			p.Demand(f)
		}
		f.OnDone(func() {
			if f.Failure() != nil {
				select {
				case failed <- i:
				default: // not the first
				}
			}
		})
	}
}

// awaitOr returns when the last of the first left futures is done, with the index of one that failed, or with ctx's
// error. A task gives its CPU slot back meanwhile.
func awaitOr(ctx context.Context, left int, at func(int) *proc.Future, failed <-chan int) (int, error) {
	f := at(left - 1)
	done := make(chan struct{})
	f.OnDone(func() { close(done) })
	f.Process().Demand(f)
	b := f.Process().BlockFor(ctx, false, left, 1, at) // one that fails ends the wait, too
	defer b.Resume()
	for {
		select {
		case <-done:
			return -1, nil
		case i := <-failed:
			return i, nil
		case <-ctx.Done():
			return -1, ctx.Err()
		case <-b.Told():
			if err := b.Heed(); err != nil {
				return -1, err
			}
		}
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
	var told <-chan struct{}
	var b *proc.Blocked
	if p := firstProcess(fs); p != nil {
		b = p.BlockFor(ctx, true, len(fs), 1, func(i int) *proc.Future { return fs[i] })
		defer b.Resume()
		told = b.Told()
	}
	for {
		select {
		case i := <-done:
			return i, true
		case <-ctx.Done():
			return 0, false
		case <-told:
			b.Heed() // it is asked for its stack
		}
	}
}
