package proc

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/kadrehq/kadre/sched"
)

// The bound of unfinished work, at which submitters wait. Each process of a job counts what it has submitted itself: the
// engine what is queued here, this what is to run elsewhere.

const (
	maxUnfinished     = sched.DefaultQueued // tasks of a process
	maxUnfinishedSpec = 1 << 30             // bytes of their specifications
)

// unfinished counts the tasks of this process that are to run in other ones and have no outcome.
type unfinished struct {
	// constant after init
	p           *Process
	limit       *sched.Limit
	most, bytes int64

	tasks atomic.Int64 // that have a specification
	spec  atomic.Int64 // bytes of those
	early atomic.Int64 // that wait for their arguments
}

// mostUnfinished are the bounds of a process, in tasks and bytes: the variable KADRE_TEST_UNFINISHED has them for tests.
func mostUnfinished() (tasks, bytes int64) {
	a, b, _ := strings.Cut(os.Getenv("KADRE_TEST_UNFINISHED"), ",")
	tasks, _ = strconv.ParseInt(a, 10, 64)
	bytes, _ = strconv.ParseInt(b, 10, 64)
	if tasks <= 0 {
		tasks = maxUnfinished
	}
	if bytes <= 0 {
		bytes = maxUnfinishedSpec
	}
	return tasks, bytes
}

func (u *unfinished) init(p *Process, tasks, bytes int64) {
	u.p, u.most, u.bytes = p, tasks, bytes
	u.limit = p.engine.NewLimit("room among the unfinished tasks of its process that run elsewhere", func() bool {
		return u.count() <= u.most-max(1, u.most/8) && u.spec.Load() <= u.bytes-max(1, u.bytes/8)
	})
}

// count is how many there are, with those that wait for the job's worker or run there.
func (u *unfinished) count() int64 {
	n := u.tasks.Load() + u.early.Load()
	if d := u.p.feed; d != nil {
		d.mu.Lock()
		n += int64(d.queue.n)
		d.mu.Unlock()
		n += int64(d.flying.Load())
	}
	return n
}

// look is called when one has come.
func (u *unfinished) look() {
	if u.tasks.Load()+u.early.Load() >= u.most || u.spec.Load() >= u.bytes {
		u.limit.Reach()
	}
}

// add counts a task by its specification, sub ends that.
func (u *unfinished) add(rec *record) {
	rec.weight = int64(len(rec.spec))
	u.tasks.Add(1)
	u.spec.Add(rec.weight)
	u.look()
}

func (u *unfinished) sub(rec *record) {
	if rec.weight > 0 {
		u.tasks.Add(-1)
		u.spec.Add(-rec.weight)
		rec.weight = 0
	}
}

// admit waits until there is room for f, which is submitted under ctx; false where ctx ended first, and f failed for that.
func (u *unfinished) admit(ctx context.Context, f *Future) bool {
	if !u.limit.Reached() || u.limit.Await(ctx) {
		return true
	}
	f.InitExternal(f.Func(), u.p.root)
	f.Fail(errorf("%w: the context ended while %s waited to be submitted", ErrBusy, f.Name()))
	return false
}
