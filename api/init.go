package api

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/embed"
	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/sched"
)

// Runtime is this process's attachment to a node. Its methods may be called by many goroutines.
type Runtime struct {
	s    *embed.Session
	p    *proc.Process
	ctx  context.Context
	once sync.Once
	err  error
}

// closeWithin bounds Close.
const closeWithin = 5 * time.Second

type runtimeKey struct{}

// carrier is a context that carries a runtime. Calls that are given one itself need not search it.
type carrier struct {
	context.Context
	rt   *Runtime
	task *sched.Task // whose context it was made from
}

func (c *carrier) Value(k any) any {
	if k == (runtimeKey{}) {
		return c.rt
	}
	return c.Context.Value(k)
}

// CarriedTask is for package sched, which need not search then.
func (c *carrier) CarriedTask() *sched.Task { return c.task }

// open holds this process's open runtimes, the first first.
var open struct {
	sync.RWMutex
	all []*Runtime
}

// Init attaches this process to the node named by KADRE_SOCKET, else to the oldest living node of the
// cluster in the user's runtime folder; where none lives it starts one inside this process. ctx bounds
// starting only. If a node was named or found and attaching fails, it returns the error and starts none.
// In a process that a node started as a worker it serves and never returns.
func Init(ctx context.Context, opts ...InitOption) (*Runtime, error) {
	RunWorker()
	var o embed.Options
	for _, opt := range opts {
		if err := opt.applyInit(&o); err != nil {
			return nil, err
		}
	}
	s, err := embed.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	started.Store(true)
	rt := &Runtime{s: s, p: s.Process}
	rt.ctx = rt.With(context.Background())
	open.Lock()
	open.all = append(open.all, rt)
	open.Unlock()
	return rt, nil
}

// RunWorker serves and never returns in a process that a node started as a worker, and returns at once
// elsewhere. Put it after flag parsing and before side effects, and in TestMain.
func RunWorker() { embed.RunWorker() }

// Context carries rt.
func (rt *Runtime) Context() context.Context { return rt.ctx }

// With is ctx carrying rt.
func (rt *Runtime) With(ctx context.Context) context.Context {
	return &carrier{ctx, rt, sched.TaskOf(ctx)}
}

// Done is closed when the node is told to stop, or is gone.
func (rt *Runtime) Done() <-chan struct{} { return rt.p.Stopping() }

// Drain takes no new work and returns when what is there has finished or is handed over, or ctx ends.
func (rt *Runtime) Drain(ctx context.Context) error { return rt.p.Drain(ctx) }

// RuntimeStats counts what crossed the border of this process.
type RuntimeStats struct {
	Exported int64 // tasks that other processes took or were given
	Imported int64 // tasks of other processes that came here
	Retried  int64 // own tasks that ran again: their process died, or their result's last copy was lost
	Objects  int   // entries of the table of references
}

// Stats is a copy of rt's counts.
func (rt *Runtime) Stats() RuntimeStats {
	s := rt.p.Stats()
	return RuntimeStats{Exported: s.Exported, Imported: s.Imported, Retried: s.Retried, Objects: s.Objects}
}

// FuncStats is what the runs of one function in this process were like.
type FuncStats = sched.FuncStats

// Functions lists the functions, classes and methods that ran in this process.
func (rt *Runtime) Functions() []FuncStats { return proc.Functions() }

// Close ends the job: it cancels what runs, frees its objects and returns within 5 s. Wait for your refs
// before. Later calls return what the first did.
func (rt *Runtime) Close() error {
	rt.once.Do(func() {
		open.Lock()
		for i, r := range open.all {
			if r == rt {
				open.all = append(open.all[:i:i], open.all[i+1:]...)
				break
			}
		}
		open.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
		defer cancel()
		rt.err = rt.s.Close(ctx)
	})
	return rt.err
}

// processOf finds the process whose runtime ctx carries, else that of the first open runtime.
func processOf(ctx context.Context) (*proc.Process, error) {
	switch c := ctx.(type) {
	case *sched.Task:
		if p, _ := c.Home().(*proc.Process); p != nil {
			return p, nil
		}
	case *carrier:
		if c.task == nil {
			return c.rt.p, nil
		}
	}
	at := &recent[sched.Stripe(len(recent))].at
	if r := at.Load(); r != nil && sched.SameContext(r.ctx, ctx) && !r.p.Closed() {
		return r.p, nil
	}
	p, err := findProcess(ctx)
	if err == nil {
		at.Store(&recently{ctx, p})
		sweeps.arm()
	}
	return p, err
}

// recently is a context and its process.
type recently struct {
	ctx context.Context
	p   *proc.Process
}

// recent has contexts that were looked at last, since most programs use one again and again. A collection empties it.
var recent [16]struct {
	at atomic.Pointer[recently]
	_  [56]byte
}

func init() {
	sweeps.add(func() {
		for i := range recent {
			recent[i].at.Store(nil)
		}
	})
}

func findProcess(ctx context.Context) (*proc.Process, error) {
	if p := proc.ProcessOf(ctx); p != nil {
		return p, nil
	}
	if rt, ok := ctx.Value(runtimeKey{}).(*Runtime); ok {
		return rt.p, nil
	}
	open.RLock()
	defer open.RUnlock()
	if len(open.all) > 0 {
		return open.all[0].p, nil
	}
	if p := proc.Worker(); p != nil {
		return p, nil
	}
	return nil, ErrNoRuntime
}
