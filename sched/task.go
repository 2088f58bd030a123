package sched

import (
	"context"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/kadrehq/kadre/internal/trace"
)

// Func is one registered function, shared by all its tasks.
type Func struct {
	// constant after registration

	// Name names the function in errors and listings.
	Name string
	// Run runs the user's function for t and ends with t.Finish or t.Fail. Exactly one claimer calls it, on
	// some goroutine. A Run that returns without either leaves t external: somebody finishes it later.
	Run func(t *Task)
	// NewExt makes what few of its tasks need beside their header. Default: an Ext alone.
	NewExt func() *Ext

	// atomic

	lone    atomic.Pointer[kin]
	learned atomic.Int64 // run time in ns, leaning to the slow side; 0: not known yet
	usual   atomic.Int64 // about the median run time in ns; 0: not known yet
	runs    runs
	goexit  atomic.Bool // it called runtime.Goexit once: getters run it inline never again
}

// Learned is how long the function runs, by sampling; 0 when it never ran to its end.
func (f *Func) Learned() time.Duration { return time.Duration(f.learned.Load()) }

// Exits says whether f has ever called runtime.Goexit: a getter must not run it on its own goroutine then.
func (f *Func) Exits() bool { return f.goexit.Load() }

// SetExits notes that f called runtime.Goexit.
func (f *Func) SetExits() { f.goexit.Store(true) }

// Sample runs what f's tasks run, and learns how long it takes from the first run and from some later ones. It
// is for tasks that the engine does not run itself.
func (f *Func) Sample(t *Task, run func()) {
	every := f.everyRun()
	if !every && !t.sampled() {
		run()
	} else {
		start := time.Now()
		run()
		f.measured(time.Since(start), every)
		if r := t.rootOf(); trace.On() && r != nil && r.e != nil {
			r.e.markRun(t, start)
		}
	}
	if t.state.Load()&stMask == stFailed {
		f.runs.failed.Add(1)
	}
}

// learn takes in one run. Slow runs count at once, fast ones pull the figure down slowly; the median goes a step to where
// the run is.
func (f *Func) learn(d time.Duration) {
	switch m := f.usual.Load(); {
	case m == 0:
		f.usual.Store(max(int64(d), 1))
	case int64(d) > m:
		f.usual.Store(m + m/8 + 1)
	case int64(d) < m:
		f.usual.Store(max(m-m/8, 1))
	}
	old := f.learned.Load()
	f.learned.Store(max(int64(d), old-old/8, 1)) // a lost update is one sample less
}

// States of a task, the low bits of Task.state. See the drawing in doc.go.
const (
	stNew      uint32 = iota // queued
	stHung                   // waits for its Deps
	stRun                    // claimed by an executor or a getter of this engine
	stExternal               // somebody outside finishes it
	stSettling               // its finisher is storing the result or the error
	stDone
	stFailed

	stMask  uint32 = 7
	stGiven uint32 = 8 // its CPU slots are given back while one of its goroutines waits

	tagShift = 8 // above: the tag of FinishAs

	byShift = 16 // above, while it runs: by whose getter, see Task.mark; 0: by none
	byMask  = 0xffff << byShift
)

// Task is the header of a task: its future and its context.Context at once, 32 bytes. Package api embeds it
// first in the struct that holds result and argument. The zero value is to be given to Submit or InitExternal,
// once; it must not be copied.
type Task struct {
	kin   unsafe.Pointer // *kin; plain until published, atomic from then on; nil: that of the block's first task
	shape uint16         // constant after Submit: CPU slots it needs, and bits
	depth uint8          // written by the claimer before Run: inline runs below it on its stack
	lane  uint8          // likewise: the worker whose queue its children go to; 0: it does not run on this engine

	state atomic.Uint32 // beside lane, so that the header has no gap

	ext atomic.Pointer[Ext] // nil until somebody needs it; never changes again
	off uint32              // constant after Submit: how many bytes before it the first of its block is; 0: it is in none, or that one
}

// Bits of Task.shape beside the slots.
const (
	noInline uint16 = 1 << 15 // getters do not run the task
	carried  uint16 = 1 << 14 // it may run on a carrier, who is told when it blocks
	prior    uint16 = 1 << 13 // it has a priority, see Config.Priority
	share    uint16 = 1 << 12 // its slots are thousandths of one

	maxTaskSlots = share - 1
	slotsMask    = share | maxTaskSlots
)

// slots is how many CPU slots t needs, or, with the bit share, how many thousandths of one: no such number is that of a task
// which needs whole slots.
func (t *Task) slots() uint16 { return t.shape & slotsMask }

// worker is where t's children go; nil where t does not run on e.
func (e *Engine) worker(t *Task) *worker {
	if t.lane == 0 {
		return nil
	}
	if r := t.rootOf(); r == nil || r.e != e {
		return nil
	}
	return e.byLane[t.lane].Load()
}

// Func is the function that t runs.
func (t *Task) Func() *Func { return t.kinOf().fn }

// kinOf is t's function and root; noKin where it has none.
func (t *Task) kinOf() *kin {
	if k := (*kin)(atomic.LoadPointer(&t.kin)); k != nil {
		return k
	}
	return t.blockKin()
}

// blockKin is kinOf for those that leave it to the first task of their block.
//
//go:noinline
func (t *Task) blockKin() *kin {
	first := (*Task)(unsafe.Add(unsafe.Pointer(t), -int(t.off)))
	if k := (*kin)(atomic.LoadPointer(&first.kin)); k != nil {
		return k
	}
	return &noKin
}

// Stale says that nobody needs to run t any more. It is for the deque.
func (t *Task) Stale() bool { return t.state.Load()&stMask != stNew }

// Queued says that t is to run on this engine and nobody has started it.
func (t *Task) Queued() bool { return t.state.Load()&stMask == stNew }

// Ready says whether t is finished or failed.
func (t *Task) Ready() bool { return t.state.Load()&stMask >= stDone }

// Finished says whether t has a result.
func (t *Task) Finished() bool { return t.state.Load()&stMask == stDone }

// claim is the only arbiter of who runs t.
func (t *Task) claim() bool { return t.state.CompareAndSwap(stNew, stRun) }

// claimBy is claim for the goroutine of me, which waits for t; nil: of no task.
func (t *Task) claimBy(me *Task) bool {
	if me == nil {
		return t.claim()
	}
	return t.state.CompareAndSwap(stNew, stRun|me.mark())
}

// mark stands for t in the state of what its getter runs: who wants to know whose getter that is has few to choose from.
func (t *Task) mark() uint32 {
	return (uint32(t.address()>>4)^uint32(t.address()>>20))<<byShift | 1<<byShift
}

// RunBy says whether g, as far as is known, has t run on its own goroutine while it waits for it.
func (t *Task) RunBy(g *Task) bool {
	s := t.state.Load()
	return s&stMask == stRun && s&byMask == g.mark() && g.state.Load()&stMask == stRun && t != g
}

// lend notes that the slots of t, which runs, are given back; false when it does not run, or they are already.
func (t *Task) lend() bool {
	s := t.state.Load()
	return s&^byMask == stRun && t.state.CompareAndSwap(s, s|stGiven)
}

// move changes the state from one of two and keeps stGiven.
func (t *Task) move(to uint32, from ...uint32) bool {
	for {
		old := t.state.Load()
		ok := false
		for _, f := range from {
			ok = ok || old&stMask == f
		}
		if !ok {
			return false
		}
		if t.state.CompareAndSwap(old, to|old&stGiven) {
			return true
		}
	}
}

// Settle reserves the end of t: the caller alone may store the result, and must call Finish or Fail. It
// is for external tasks that several may want to finish; all of them must use it then.
func (t *Task) Settle() bool { return t.move(stSettling, stRun, stExternal) }

// Finish ends t with the result that the caller has stored; false when it had ended before.
func (t *Task) Finish() bool { return t.FinishAs(0) }

// FinishAs is Finish with a tag that says how the result is stored.
func (t *Task) FinishAs(tag uint8) bool {
	done := stDone | uint32(tag)<<tagShift
	if s := t.state.Load(); !(s&^byMask == stRun && t.state.CompareAndSwap(s, done)) && !t.move(done, stRun, stExternal, stSettling) { // 1: pairs with attach
		return false
	}
	if x := t.ext.Load(); x != nil && x.list.Load() != nil { // 2
		wake(x.take())
	}
	t.sever()
	return true
}

// Tag is what FinishAs was given; 0 before.
func (t *Task) Tag() uint8 { return uint8(t.state.Load() >> tagShift) }

// Mark adds bits to the tag of a task that is finished.
func (t *Task) Mark(tag uint8) { t.state.Or(uint32(tag) << tagShift) }

// Fail ends t with err, also before it ran; false when it had ended before.
func (t *Task) Fail(err error) bool {
	return t.failFrom(err, stNew, stHung, stRun, stExternal, stSettling)
}

// failFrom is Fail from some states only.
func (t *Task) failFrom(err error, from ...uint32) bool {
	if err == nil {
		panic("sched: Fail without an error: call Finish")
	}
	x := t.Ext()
	if x.mu.Lock(); !t.move(stFailed, from...) {
		x.mu.Unlock()
		return false
	}
	x.err = err
	list := x.list.Swap(nil)
	x.mu.Unlock()
	wake(list)
	t.sever()
	return true
}

// sever cuts the way from a finished task to the task that made it, or a chain in which each submits the
// next under a context of its own stays reachable from its end.
func (t *Task) sever() {
	if r := t.rootOf(); r != nil && r.derived {
		end := bare
		if r.e != nil {
			end = r.e.base
		}
		atomic.StorePointer(&t.kin, unsafe.Pointer(end.kin(t.Func())))
	}
}

// setKin is for before t is published.
func (t *Task) setKin(k *kin) { t.kin = unsafe.Pointer(k) }

func (t *Task) rootOf() *Root { return t.kinOf().root }

// Failure is the error that t failed with; nil when it has not.
func (t *Task) Failure() error {
	if t.state.Load()&stMask != stFailed {
		return nil
	}
	x := t.ext.Load()
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

// Home is Config.User of the engine that t stands on; nil for a task of none.
func (t *Task) Home() any {
	if r := t.rootOf(); r != nil && r.e != nil {
		return r.e.cfg.User
	}
	return nil
}

// spanOf is the span that t starts; nil where it starts none.
func spanOf(t *Task) *span {
	if t.Func() != &spanFunc {
		return nil
	}
	return (*span)(unsafe.Pointer(t))
}

// sampled picks one task in 64 for measuring, by its address.
func (t *Task) sampled() bool {
	return (uintptr(unsafe.Pointer(t))>>5^uintptr(unsafe.Pointer(t))>>11)&63 == 0
}

// spread is a number that differs between functions.
func (f *Func) spread() uintptr { return uintptr(unsafe.Pointer(f))>>6 ^ uintptr(unsafe.Pointer(f))>>9 }

// address is what the monitor compares; it never becomes a pointer again.
func (t *Task) address() uintptr { return uintptr(unsafe.Pointer(t)) }

// here is a number that belongs to the calling goroutine: its stack's address.
func here() uintptr {
	var x byte
	p := uintptr(unsafe.Pointer(&x))
	return p>>13 ^ p>>17
}

// Stripe is a number below n that goroutines which run at the same time seldom share.
func Stripe(n int) int { return int(here() % uintptr(n)) }

// SameContext compares two contexts as == does, also where a type is not comparable.
func SameContext(a, b context.Context) bool {
	return *(*[2]uintptr)(unsafe.Pointer(&a)) == *(*[2]uintptr)(unsafe.Pointer(&b))
}
