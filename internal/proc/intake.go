package proc

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

const (
	carryMost  = 20 * time.Microsecond // what a function may usually take to be run where its frame is read
	tellTook   = 32                    // results that say how long a task takes are one in so many, where it is short
	arrivalLot = 64                    // arrivals that are allocated at once
)

// intake is a worker's end of a feed: tasks that come by short frames, and their results that go back.
type intake struct {
	p    *Process
	from id.Addr // the driver
	link *wire.Link

	// of the poll goroutine
	funcs []func([]byte) (*Future, error)
	names []string
	lot   []arrival

	n atomic.Uint32 // results

	mu     sync.Mutex
	at     []*Future           // by slot: tasks that have come and are not answered
	ranges map[uint32]*landing // by slot, alike
	batch  batch
	buf    []byte // for a result
}

// arrival is a task that came by a short frame.
type arrival struct {
	inbound
	in       *intake
	call     wire.Call
	index    int         // in its range, or wire.Alone
	carried  bool        // the carrier runs it, and flushes the batch of results when it rests
	named    atomic.Bool // the task has seen its ID
	answered atomic.Bool
}

// specify is what the task would have come with.
func (a *arrival) specify(f *Future) *wire.Spec {
	a.named.Store(true)
	p := a.in.p
	return &wire.Spec{Kind: wire.KindTask, Job: p.job, Task: id.TaskOf(a.in.from.Proc, a.call.Num), Epoch: p.epoch,
		Owner: a.in.from, Func: f.Name(), CPU: a.call.CPU, Left: a.call.Left, Hops: 1, Bound: a.in.bound(&a.call)}
}

// bound is the driver's name of what bounds a call.
func (in *intake) bound(c *wire.Call) wire.Bound {
	if c.Bound == 0 {
		return wire.Bound{}
	}
	return wire.Bound{At: in.from, Num: c.Bound}
}

// frame takes a short frame in; it runs on the poll goroutine, and b lies in the ring.
func (in *intake) frame(b []byte) {
	var err error
	switch b[0] {
	case wire.ShortName:
		err = in.name(b)
	case wire.ShortCall:
		err = in.task(b)
	case wire.ShortRange:
		err = in.tasks(b)
	case wire.ShortCancel, wire.ShortCancelAll:
		err = in.cancel(b)
	}
	if err != nil {
		in.p.log.Warn("kadre: bad frame of a driver", "err", err)
	}
}

func (in *intake) name(b []byte) error {
	num, name, err := wire.ParseName(b)
	if err != nil || int(num) != len(in.funcs) {
		return errorf("kadre: function %d is named after %d: %w", num, len(in.funcs), err)
	}
	fn, err := lookup(name)
	unpack := func([]byte) (*Future, error) { return nil, err }
	if err == nil {
		unpack = fn.Unpacker(in.p, in.from)
	}
	in.funcs, in.names = append(in.funcs, unpack), append(in.names, name)
	return nil
}

// task makes a task of a frame. It starts when the frame's room has been given back: the driver takes what it
// finds in the ring of a dead worker for not started.
func (in *intake) task(b []byte) error {
	p := in.p
	c, args, err := wire.ParseCall(b)
	if err != nil {
		return err
	}
	if int(c.Func) >= len(in.funcs) {
		return errorf("kadre: a task of function %d, and %d have names", c.Func, len(in.funcs))
	}
	p.stats.imported.Add(1)
	f, err := in.funcs[c.Func](args)
	if err != nil {
		in.answerError(c.Slot, false, p.record(&UnschedulableError{Text: err.Error()}, in.names[c.Func]))
		return nil
	}
	if len(in.lot) == 0 {
		in.lot = make([]arrival, arrivalLot)
	}
	a := &in.lot[0]
	in.lot = in.lot[1:]
	a.in, a.call, a.short, a.index = in, c, a, wire.Alone
	f.cold().in = &a.inbound
	p.markName(f, id.TaskOf(in.from.Proc, c.Num))
	in.mu.Lock()
	for int(c.Slot) >= len(in.at) {
		in.at = append(in.at, nil)
	}
	in.at[c.Slot] = f
	in.mu.Unlock()
	p.carry.came(f)
	return nil
}

// cancel ends a task that nobody wants to know the outcome of.
func (in *intake) cancel(b []byte) error {
	slot, index, err := wire.ParseSlot(b)
	if err != nil {
		return err
	}
	in.mu.Lock()
	f := in.findLocked(slot, index)
	in.mu.Unlock()
	if f != nil && b[0] == wire.ShortCancelAll {
		in.p.engine.CancelStarted(&f.Task)
	}
	if f != nil && f.Fail(ErrCancelled) {
		in.answer(f) // nobody else does where it has not been started
		in.flush()
	}
	return nil
}

// start runs a task that has come: here, where it is known to be short, or on the engine.
func (in *intake) start(f *Future) (carried bool) {
	p := in.p
	c := &f.inbound().short.call
	ctx := p.carry.bound(in, c)
	if f.Func().Brief(carryMost) && c.CPU == 1000 && !f.Func().Exits() {
		return p.engine.Prepare(ctx, &f.Task, f.Func())
	}
	f.OnDone(func() { in.answer(f) })
	p.engine.Submit(ctx, &f.Task, f.Func(), sched.Opts{Milli: c.CPU, NoInline: true})
	return false
}

// answer is that of the intake where f came in.
func (b *inbound) answer(f *Future) { b.short.in.answer(f) }

// answer sends the outcome of a task, once.
func (in *intake) answer(f *Future) {
	a := f.inbound().short
	if !a.answered.CompareAndSwap(false, true) {
		return
	}
	if in.p.borrows.Load() > 0 { // what the task took references to is held by the driver; this ring has told that of ours
		in.p.afterBorrowsBut(in.from, func() { in.outcome(f); in.flush() })
		return
	}
	in.outcome(f)
}

// outcome is what answer sends.
func (in *intake) outcome(f *Future) {
	a, p := f.inbound().short, in.p
	if a.index != wire.Alone && f.cold().stored == 0 && (f.value() == nil || in.small(f)) {
		in.pieceOutcome(f, a)
		return
	}
	if err := f.Failure(); err != nil {
		in.answerError(a.call.Slot, a.named.Load(), p.record(f.explain(err), f.Name()))
		return
	}
	if f.cold().stored != 0 || f.value() != nil && !in.small(f) {
		in.adopt(f)
		return
	}
	e := wire.Ended{Slot: a.call.Slot, Named: a.named.Load()}
	if d := f.Func().Learned(); d > carryMost || in.n.Add(1)%tellTook == 1 {
		e.Took = d
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.at[a.call.Slot] = nil
	if f.IsSet() {
		e.Bare = true
		b, ok := f.Type().Pack(f, e.Append(in.buf[:0]))
		if ok && len(b) <= wire.MaxShortArgs {
			in.sendLocked(b)
			return
		}
		e.Bare = false
		enc, err := f.Type().Encode(f)
		if err != nil || enc.Len() > wire.MaxShortArgs {
			go in.adopt(f)
			return
		}
		b = e.Append(in.buf[:0])
		in.sendLocked(append(append(b, enc.Head...), enc.Body...))
		return
	}
	in.sendLocked(append(e.Append(in.buf[:0]), f.value().Data...))
}

// small says whether an encoded result fits a short frame: it is short and refers to nothing.
func (in *intake) small(f *Future) bool {
	if len(f.value().Data) > wire.MaxShortArgs || len(f.value().Keep) > 0 {
		return false
	}
	if f.Type().Plan != nil && !f.Type().Plan.HasRefs() {
		return true
	}
	refs, err := codec.Refs(f.value().Data)
	return err == nil && len(refs) == 0
}

// adopt has the driver make a record of the task, and reports its result as that of any other.
func (in *intake) adopt(f *Future) {
	a := f.inbound().short
	in.mu.Lock()
	in.forgetLocked(a)
	in.sendLocked(wire.AppendSlot(in.buf[:0], wire.ShortAdopt, a.call.Slot, a.index))
	in.mu.Unlock()
	in.p.report(f)
}

func (in *intake) answerError(slot uint32, named bool, r *wire.ErrorRecord) {
	e := wire.Ended{Slot: slot, Named: named, Error: true}
	in.mu.Lock()
	defer in.mu.Unlock()
	if int(slot) < len(in.at) {
		in.at[slot] = nil
	}
	in.sendLocked(r.Append(e.Append(in.buf[:0])))
}

func (in *intake) sendLocked(b []byte) {
	in.buf = b[:0]
	if err := in.link.Send(b); err != nil {
		in.p.log.Debug("kadre: a result was not sent", "err", err) // the driver is gone
	}
}
