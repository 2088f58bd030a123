package proc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/owner"
)

const (
	// backoffLeast is the pause before the first retry after an error of the function's own; it doubles up to
	// backoffMost. Each is drawn between half of that and all of it.
	backoffLeast = 100 * time.Millisecond
	backoffMost  = 30 * time.Second
)

// backoff is the pause before the retry after n others.
func backoff(n int, random float64) time.Duration {
	d := backoffMost
	if n < 20 {
		d = min(backoffLeast<<n, backoffMost)
	}
	return d/2 + time.Duration(random*float64(d/2))
}

// retries says whether the outcome of an own task is an error after which its caller may want another attempt,
// and sees to it: the caller's function decides, on a goroutine of its own since it is the user's.
func (p *Process) retries(m *wire.Result, done func([]id.Object)) bool {
	if m.Err == nil || m.Err.Class != wire.ErrorTask {
		return false
	}
	p.mu.Lock()
	o := p.objects[m.Task.Object(0)]
	if o == nil || o.rec == nil || o.rec.f == nil || o.rec.left <= 0 || o.rec.attempt != m.Attempt || o.rec.retry == nil || p.closed != nil {
		p.mu.Unlock()
		return false
	}
	rec := o.rec
	retry, sess, seq := rec.retry, rec.session, rec.seq
	p.mu.Unlock()
	go func() {
		if !p.wanted(retry, failure(m.Err)) {
			p.settleResult(m, done)
			return
		}
		p.mu.Lock()
		rec.at = id.Addr{} // it is nowhere: nobody's death concerns it
		n := rec.paused
		rec.paused++
		p.mu.Unlock()
		done(nil)
		if sess != nil {
			sess.arrived(seq)
		}
		time.AfterFunc(backoff(n, rand.Float64()), func() { p.again(rec, m.Attempt) })
	}()
	return true
}

// wanted asks the user's function whether to try again.
func (p *Process) wanted(retry func(error) bool, err error) (yes bool) {
	defer func() {
		if r := recover(); r != nil {
			p.log.Error("kadre: the function given to RetryErrors panicked; the task fails", "panic", r, "task", err)
			yes = false
		}
	}()
	return retry(err)
}

// again makes the next attempt, unless the task was ended in the pause.
func (p *Process) again(rec *record, after uint32) {
	p.mu.Lock()
	if rec.f == nil || rec.attempt != after || p.closed != nil {
		p.mu.Unlock()
		return
	}
	rec.left--
	todo := p.stepLocked(owner.Retry{ID: rec.o.id})
	p.mu.Unlock()
	todo.run()
}

// TimeoutError is why an attempt ended that ran longer than its Timeout. It is context.DeadlineExceeded.
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("it ran longer than its Timeout of %v", e.After)
}

// Is makes errors.Is find context.DeadlineExceeded, also after a journey.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Timeout bounds one attempt at f from its start, for who is about to run it: ctx is what the function gets, and
// end must be called when it has returned. Where there is no bound both are nil. When the time is up f
// fails, whether the function returns or not.
func (f *Future) Timeout() (ctx context.Context, end func()) {
	d := time.Duration(0)
	if in := f.inbound(); in != nil {
		if in.short == nil { // else it has none
			d = f.spec().Timeout
		}
	} else if o := f.options(); o != nil {
		d = o.Timeout
	}
	if d <= 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(&f.Task, d)
	t := time.AfterFunc(d, func() { f.Fail(&TaskError{Func: f.Name(), Cause: &TimeoutError{d}}) })
	return ctx, func() { t.Stop(); cancel() }
}
