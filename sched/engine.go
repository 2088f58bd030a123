package sched

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/trace"
)

const (
	// shards is the number of queues for submissions from outside of tasks.
	shards = 8
	// ownLanes is the number of workers that are made first and never end.
	ownLanes = shards + 3
	// maxSlots bounds Config.Slots.
	maxSlots = 1 << 14
)

// Config says how an Engine shall be. The zero value works.
type Config struct {
	// Slots is how many tasks run at a time. Default GOMAXPROCS.
	Slots int
	// CPU are the words that this machine's processes share. Default nil: none are needed.
	CPU CPUs
	// User is what UserOf gives for contexts that carry no other value. Default nil.
	User any
	// Grace is how long a cancelled task may run on before it is failed and its goroutine abandoned.
	// Default 5 s.
	Grace time.Duration
	// Poll is called by a getter before it parks for a task that somebody else finishes: it may look for news
	// of it for a moment. Default nil.
	Poll func(t *Task)
	// Blocked is called when a task that may run on a carrier is about to block. Default nil.
	Blocked func(t *Task)
	// Ended is called with what has ended while tasks that stand on it are entrusted to the layer above, which fails them
	// with err. Default nil: none may be.
	Ended func(r *Root, err error)
	// Priority gives the priority of a task that was submitted with Opts.Priority. Default nil: all have 0.
	Priority func(t *Task) int
	// Queued is how many tasks may be queued, or wait for what they need, before submitters wait. Default DefaultQueued.
	Queued int
	// Standstill is called, and must not block, when none of the queued tasks has begun for so long: half a minute, and each time
	// that it has lasted twice as long. Default nil.
	Standstill func(*Engine, time.Duration)
	// Logger gets what is unusual. Default: nothing is logged.
	Logger *slog.Logger

	stall time.Duration // for tests; default stallIdle
	still time.Duration // for tests; default stillAfter
}

func (c Config) withDefaults() Config {
	if c.Slots <= 0 {
		c.Slots = runtime.GOMAXPROCS(0)
	}
	c.Slots = min(c.Slots, maxSlots)
	if c.Grace <= 0 {
		c.Grace = 5 * time.Second
	}
	if c.Queued <= 0 {
		c.Queued = DefaultQueued
	}
	if c.stall <= 0 {
		c.stall = stallIdle
	}
	if c.still <= 0 {
		c.still = stillAfter
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return c
}

// Engine runs the tasks of one process on at most Slots goroutines at a time. All methods may be called
// concurrently.
type Engine struct {
	// constant after construction
	cfg   Config
	began time.Time
	free  *aside
	wide  *aside
	part  *aside
	base  *Root // what finished tasks stand on whose own root leads to other tasks
	tired *Root // what submissions stand on that waited for room until their context ended
	crowd crowd

	slots
	shares shares
	ranked ranked
	roster roster
	waits  waitRegister
	broods broods
	tape   trace.Tape
	events trace.Ring // what is rare
	exits  sync.Map   // tasks whose goroutine ends because of another one, *Task, and its function's name

	// atomic
	idle      atomic.Int32  // len(idleQ)
	searching atomic.Int32  // executors that were woken and have no work yet
	watching  atomic.Bool   // one of the idle looks at the queues every watchEvery
	press     atomic.Uint32 // what executors see to between two tasks: pressSlots, pressRanked
	closed    atomic.Bool   // Submit fails
	awake     atomic.Bool   // the monitor ticks
	_         [40]byte
	all       atomic.Pointer[[]*worker] // the shards, then the executors; copied on growth
	dropping  atomic.Int32              // dropQueued calls under way
	dropped   atomic.Int64              // and done
	onQueued  atomic.Pointer[func(int)]

	lanes   atomic.Uint32 // workers made so far
	byLane  [256]atomic.Pointer[worker]
	spanned atomic.Int64 // tasks of queued spans, less one for each span

	steals, wakes, spawns, abandoned, extra atomic.Int64

	mu     sync.Mutex
	idleQ  []*worker
	live   int                 // goroutines of the engine
	scopes map[*scope]struct{} // contexts that somebody asked for; nil once the engine is closed

	rouser chan struct{} // wakes the monitor
	ended  chan struct{} // closed when live has come to 0
	end    sync.Once
}

// New starts an engine. Close ends it.
func New(cfg Config) *Engine {
	cfg = cfg.withDefaults()
	e := &Engine{cfg: cfg, began: time.Now(), ended: make(chan struct{}), scopes: make(map[*scope]struct{}), rouser: make(chan struct{}, 1)}
	e.cpu, e.onWait = cfg.CPU, e.rouse
	e.waits.news = make(chan struct{}, 1)
	e.limit.Store(int32(cfg.Slots))
	e.base = &Root{ctx: context.Background(), e: e, user: cfg.User}
	e.tired = &Root{ctx: ended, done: ended.Done(), e: e, user: cfg.User}
	e.crowd.init(e, cfg.Queued)
	e.free, e.wide, e.part = newAside(e, false), newAside(e, true), newAside(e, true)
	var all []*worker
	for range shards {
		all = append(all, e.newWorker())
	}
	e.all.Store(&all)
	e.enter()
	go e.monitor()
	for range cfg.Slots {
		e.searching.Add(1)
		e.spawn(nil)
	}
	return e
}

// Slots is how many tasks run at a time.
func (e *Engine) Slots() int { return e.cfg.Slots }

// newWorker gives the worker a lane. Those of the shards and of what runs aside are their own; executors share the others
// where there are very many.
func (e *Engine) newWorker() *worker {
	n := e.lanes.Add(1) - 1
	if n >= ownLanes {
		n = ownLanes + (n-ownLanes)%(uint32(len(e.byLane))-1-ownLanes)
	}
	w := &worker{e: e, lane: uint8(n + 1)}
	e.byLane[w.lane].Store(w)
	return w
}

// shard is the queue of the calling goroutine when it is no executor.
func (e *Engine) shard() *worker { return (*e.all.Load())[here()%shards] }

// spawn adds an executor, to begin with given under a slot that the caller leaves it. Where given is nil, the caller has
// counted it in searching.
func (e *Engine) spawn(given *Task) {
	e.spawns.Add(1)
	w := e.newWorker()
	w.given = given
	w.wake = make(chan struct{}, 1)
	e.mu.Lock()
	old := *e.all.Load()
	all := append(append(make([]*worker, 0, len(old)+1), old...), w)
	w.rnd = uint32(len(all))*2654435761 + 1
	e.all.Store(&all)
	e.live++
	e.mu.Unlock()
	go w.loop()
}

// unlist takes an executor out of all; its queue's tasks go to the shards.
func (e *Engine) unlist(w *worker) {
	for !w.q.Close() {
		if t, ok := w.q.Pop(); ok {
			e.rehome([]*Task{t})
		}
	}
	e.mu.Lock()
	old := *e.all.Load()
	all := make([]*worker, 0, len(old))
	for _, v := range old {
		if v != w {
			all = append(all, v)
		}
	}
	e.all.Store(&all)
	e.mu.Unlock()
}

// enter counts a goroutine of the engine, leave its end.
func (e *Engine) enter() {
	e.mu.Lock()
	e.live++
	e.mu.Unlock()
}

func (e *Engine) leave() {
	e.mu.Lock()
	e.live--
	last := e.live == 0
	e.mu.Unlock()
	if last { // not before stop: the monitor stays until then
		e.end.Do(func() { close(e.ended) })
	}
}

// remember notes a context that Close must end; false once the engine is closed.
func (e *Engine) remember(s *scope) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.scopes == nil {
		return false
	}
	e.scopes[s] = struct{}{}
	return true
}

func (e *Engine) forget(s *scope) {
	e.mu.Lock()
	delete(e.scopes, s)
	e.mu.Unlock()
}

// Close ends the engine:
//
//  1. Submit fails with ErrClosed.
//  2. Queued tasks fail with ErrClosed; hung ones do when what they need is done.
//  3. Contexts of running tasks end; what they make room for is gone by then.
//  4. Executors end when their task returns; who waits for a slot gets one.
//  5. When ctx ends first, tasks that still run fail with ErrClosed, and their goroutines are abandoned
//     and counted; the error then matches ErrAbandoned.
//
// A second Close waits as the first does.
func (e *Engine) Close(ctx context.Context) error {
	e.closed.Store(true) // 1: pairs with enqueue
	e.mu.Lock()
	scopes := e.scopes
	e.scopes = nil
	e.mu.Unlock()
	e.dropQueued(func(*Task) bool { return true }, ErrClosed) // 2
	for s := range scopes {
		s.cancel()
	}
	e.stop.Store(true)
	e.grant()
	for e.wakeOne() {
	}
	e.rouse()
	select {
	case <-e.ended:
		e.flushWords()
		return nil
	case <-ctx.Done():
	}
	n := 0
	for t := range e.active() {
		if t.Fail(ErrClosed) {
			n++
		}
	}
	all := e.abandoned.Add(int64(n))
	return fmt.Errorf("%w: %d tasks since the start, %d of them now: have functions return when their context ends: %w",
		ErrAbandoned, all, n, ctx.Err())
}

// Stats is what an engine looked like at one moment.
type Stats struct {
	Slots     int   // configured
	Running   int   // slots in use
	Waiting   int   // goroutines that wait for a slot
	Queued    int   // tasks, about
	Executors int   // goroutines that can run tasks
	Idle      int   // of these, without work
	Extra     int   // slots that the monitor has added for now
	Steals    int64 // from the start on, as all below
	Wakes     int64
	Spawns    int64
	Abandoned int64
}

// Stats looks.
func (e *Engine) Stats() Stats {
	return Stats{
		Slots: e.cfg.Slots, Running: int(e.running()), Waiting: int(e.waiting.Load()), Queued: e.Queued(),
		Executors: len(*e.all.Load()) - shards, Idle: int(e.idle.Load()), Extra: int(e.extra.Load()),
		Steals: e.steals.Load(), Wakes: e.wakes.Load(), Spawns: e.spawns.Load(), Abandoned: e.abandoned.Load(),
	}
}

func (s Stats) String() string {
	return fmt.Sprintf("slots %d (%d running, %d extra, %d waiting), queued %d, executors %d (%d idle), steals %d, wakes %d, spawns %d, abandoned %d",
		s.Slots, s.Running, s.Extra, s.Waiting, s.Queued, s.Executors, s.Idle, s.Steals, s.Wakes, s.Spawns, s.Abandoned)
}
