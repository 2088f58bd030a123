package proc

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

const (
	feedSlack  = 2                    // tasks beyond its CPU slots that the worker has at first
	feedAhead  = 2 * time.Millisecond // of work that the worker has before it, once its tasks are known
	feedMost   = 4096                 // tasks that the worker has before it because they are short
	feedStall  = 20 * time.Millisecond
	feedBlocks = wire.MaxSlots / 2 // tasks that the worker has because those before them wait
	feedLook   = 64                // submissions between two looks at the results
)

type feedState uint8

const (
	feedIdle  feedState = iota
	feedAsked           // the node was asked for the worker, or for the link to it
	feedOpen
	feedBroken // the worker has died, and what it had is being sorted out
)

// feed hands tasks of a driver to its job's worker process on the same node, over the ring that the two share. A
// task there has a slot and nothing else: no ID, no record, no specification, until one of them is needed: its
// reference escapes, its result is not a small plain value, or the worker dies. What the worker does not have
// yet waits here, where other nodes can steal it.
//
// Lock order: Process.mu, then feed.mu, then the link's.
type feed struct {
	p *Process // constant

	link   atomic.Pointer[wire.Link] // to the worker, while the feed is open
	ended  atomic.Uint64             // results that came
	flying atomic.Int32              // slots in use

	mu       sync.Mutex
	state    feedState
	to       id.Proc
	funcs    map[*Func]uint32
	slots    []out
	free     []uint32
	window   int           // how many tasks the worker is to have
	took     time.Duration // a task's time, about
	queue    queue
	buf      []byte
	sent     uint
	watching bool
	told     uint64 // the bound of the task that was sent last: its end will be told to the worker
	closed   error

	batch []piece // of who has the link's baton
}

// out is what a slot stands for: a task that the worker has, or a range of them.
type out struct {
	f    *Future
	part *flight
	num  uint64 // of its ID, or of the first one's
	end  uint64 // where its frame ends in the ring
}

func newFeed(p *Process) *feed { return &feed{p: p, funcs: map[*Func]uint32{}} }

// feeds says whether a task is one for the feed.
func (p *Process) feeds(f *Future, o *Options) bool {
	return p.feed != nil && !o.placed() && !o.managed() && o.Timeout == 0 && o.Priority == 0 && f.kind().Pack != nil && o.milli() >= 1000 && o.milli() <= uint32(p.engine.Slots())*1000
}

// addAfter is add for a task that waits for its arguments.
func (d *feed) addAfter(f *Future, deps []*Future) {
	f.kind().Stow(f)
	ready := true
	for _, x := range deps {
		ready = ready && x.Ready()
	}
	if ready {
		d.add(f)
		return
	}
	f.Leash()
	d.p.afterDeps(f, deps, func() { d.add(f) })
}

// add takes a task that is loose.
func (d *feed) add(f *Future) {
	if f.Ready() {
		return
	}
	d.entrust(f)
	var refused error
	d.mu.Lock()
	switch {
	case d.closed != nil:
		refused = d.closed
	case d.queue.n == 0 && d.state == feedOpen && d.hasRoom() && d.sendLocked(f):
	default:
		d.queue.push(f)
		d.waitLocked()
	}
	d.sent++
	look := d.sent%feedLook == 0
	full := d.queue.n >= int(d.p.waits.most)
	d.mu.Unlock()
	if full {
		d.p.waits.limit.Reach()
	}
	if refused != nil {
		f.Redeem()
		f.Fail(refused)
		return
	}
	if f.Expire() {
		d.drop(f)
	}
	l := d.link.Load()
	if l == nil {
		return
	}
	if l.Owes() {
		d.p.wake(l)
	}
	if look {
		d.p.poller.Attend(l, d.p.fromWorker)
	}
}

// entrust has the end of f's context told to the feed.
func (d *feed) entrust(f *Future) {
	if f.Entrust() {
		return
	}
	f.Leash()
	f.OnDone(func() {
		if !f.Finished() {
			go d.drop(f) // the lock may be held here
		}
	})
}

// wake rings for what was sent. The answer may come before this goroutine goes on, whose CPU the kernel likes to give to
// whom it wakes: nobody need ring for that, since who has sent mostly waits for it next.
func (p *Process) wake(link *wire.Link) {
	if !link.Grab() {
		link.Ring()
		return
	}
	link.Ring()
	p.drop(link)
}

// expired fails what is here or out and stands on r, which has ended, and tells the worker of it.
func (d *feed) expired(r *sched.Root, err error) {
	var fs []*Future
	d.mu.Lock()
	d.eachLocked(func(_ uint32, _ int, o out) {
		if o.f.On(r) {
			fs = append(fs, o.f)
		}
	})
	for f := range d.queue.all {
		if f.On(r) {
			fs = append(fs, f)
		}
	}
	d.mu.Unlock()
	for _, f := range fs {
		f.Fail(err)
	}
	d.dropAll(func(f *Future) bool { return f.On(r) })
}

// waitLocked sees to it that what is queued gets on.
func (d *feed) waitLocked() {
	if n := d.queue.n; n == 1 || n%feedLook == 0 {
		d.p.onQueued(n)
	}
	if d.state == feedIdle {
		d.askLocked()
	}
	if !d.watching {
		d.watching = true
		d.p.wg.Go(d.watch)
	}
}

func (d *feed) hasRoom() bool { return int(d.flying.Load()) < d.window }

// sendLocked gives the worker a task; false: there is no room in the ring. A task that needs more than a short
// frame goes by way of the node.
func (d *feed) sendLocked(f *Future) bool {
	link := d.link.Load()
	num, ok, room := d.nameLocked(link, f.kind())
	if !ok {
		if room {
			d.placeLocked(f)
		}
		return room
	}
	slot, ok := d.slotLocked()
	if !ok {
		return false
	}
	c := d.callLocked(f, slot, num)
	if o := f.object(); o != nil {
		c.Num = o.id.Task().Num()
	} else {
		c.Num = d.p.ids.Next()
	}
	b, ok := f.kind().Pack(f, c.Append(d.buf[:0]))
	d.buf = b[:0]
	if !ok {
		d.placeLocked(f)
		return true
	}
	end, ok := link.Put(b)
	if !ok {
		return false
	}
	d.fillLocked(slot, out{f: f, num: c.Num, end: end}, 1)
	d.p.markName(f, id.TaskOf(d.p.self.Proc, c.Num))
	return true
}

// nameLocked gives the number by which the worker knows a function. Without one, room says whether there was room in
// the ring to name it: no more of them can be named then.
func (d *feed) nameLocked(link *wire.Link, k *Func) (num uint32, ok, room bool) {
	if num, ok = d.funcs[k]; ok {
		return num, true, true
	}
	if len(d.funcs) >= wire.MaxFuncs {
		return 0, false, true
	}
	num = uint32(len(d.funcs))
	d.buf = wire.AppendName(d.buf[:0], num, k.Run.Name)
	if _, ok := link.Put(d.buf); !ok {
		return 0, false, false
	}
	d.funcs[k] = num
	return num, true, true
}

// slotLocked gives a slot for fillLocked.
func (d *feed) slotLocked() (slot uint32, ok bool) {
	if n := len(d.free); n > 0 {
		return d.free[n-1], true
	}
	slot = uint32(len(d.slots))
	return slot, slot < wire.MaxSlots
}

// fillLocked puts into a slot what has gone, which is n tasks.
func (d *feed) fillLocked(slot uint32, o out, n int) {
	if n := len(d.free); n > 0 {
		d.free = d.free[:n-1]
	} else {
		d.slots = append(d.slots, out{})
	}
	d.slots[slot] = o
	d.flying.Add(int32(n))
	d.p.stats.exported.Add(int64(n))
}

// callLocked is the head of a frame but for the number.
func (d *feed) callLocked(f *Future, slot, num uint32) wire.Call {
	c := wire.Call{Slot: slot, Func: num, CPU: f.options().milli()}
	c.Left, _ = remaining(&f.Task)
	if x := d.p.bounds.boundOf(&f.Task); x != nil && x.ctx != nil {
		if c.Bound = x.name.Num; d.told != c.Bound {
			d.told = c.Bound
			d.p.bounds.went(x.name, id.Addr{Node: d.p.self.Node, Proc: d.to})
		}
	}
	return c
}

// drop tells the worker that nobody wants the outcome of f.
func (d *feed) drop(f *Future) {
	if d != nil {
		d.dropAll(func(o *Future) bool { return o == f })
	}
}

// dropAll is drop for those that are out and have failed.
func (d *feed) dropAll(which func(*Future) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	link := d.link.Load()
	d.eachLocked(func(slot uint32, index int, o out) {
		if link == nil || !which(o.f) || !o.f.Ready() || o.f.Finished() {
			return
		}
		kind := byte(wire.ShortCancel)
		if o.f.endsAll() {
			kind = wire.ShortCancelAll
		}
		link.Put(wire.AppendSlot(nil, kind, slot, index)) // no room: it runs in vain
	})
	if link != nil {
		link.Ring()
	}
}

// placeLocked has a task go by way of the node.
func (d *feed) placeLocked(f *Future) {
	go func() {
		leave(f)
		d.p.place(&f.Task, f, wire.KindTask, true, nil)
	}()
}

// leave is for a task that the feed has no more and that is not done.
func leave(f *Future) {
	f.Redeem()
	f.Leash()
}

// refillLocked sends what is queued, as far as the worker is to have it.
func (d *feed) refillLocked() {
	if d.state != feedOpen {
		return
	}
	for room := true; room && d.queue.n > 0 && d.hasRoom(); {
		if s := d.queue.stretch(); s != nil {
			room = d.sendRangeLocked(s)
		} else {
			room = d.sendFirstLocked()
		}
	}
	if l := d.link.Load(); l.Owes() {
		l.Ring()
	}
	if n := d.queue.n; n == 0 || n%feedLook == 0 {
		d.p.onQueued(n)
	}
}

// done takes a result.
func (d *feed) done(b []byte) {
	e, result, err := wire.ParseDone(b)
	if err != nil {
		d.p.log.Warn("kadre: bad result of a worker", "err", err)
		return
	}
	if e.Named {
		d.named(e.Slot, wire.Alone)
	}
	d.mu.Lock()
	o := d.takeLocked(e.Slot)
	if e.Took > 0 {
		d.learnLocked(e.Took)
	}
	if d.queue.n > 0 {
		d.refillLocked()
	}
	if o.f == nil {
		d.strangeLocked(e.Slot)
	}
	d.mu.Unlock()
	d.ended.Add(1)
	if o.f != nil {
		d.settle(o.f, &e, result)
	}
}

// strangeLocked is a result of a task that is not out. After the end there are such: what is out was failed then, and
// the link is read until the process has said good-bye.
func (d *feed) strangeLocked(slot uint32) {
	if d.closed == nil {
		d.p.log.Warn("kadre: a worker reports a task that it was not given", "slot", slot)
	}
}

// settle ends a task that was out with its result.
func (d *feed) settle(f *Future, e *wire.Ended, result []byte) {
	f.kind().Forget(f)
	f.Redeem()
	f.Expire()
	if e.Error {
		var r wire.ErrorRecord
		if err := wire.Unmarshal(result, &r); err != nil {
			f.Fail(err)
			return
		}
		f.Fail(failure(&r))
		return
	}
	d.p.fillShort(f, result, e.Bare)
}

// takeLocked empties a slot.
func (d *feed) takeLocked(slot uint32) (o out) {
	if int(slot) >= len(d.slots) || d.slots[slot].f == nil {
		return o
	}
	o = d.slots[slot]
	d.slots[slot] = out{}
	d.free = append(d.free, slot)
	d.flying.Add(-1)
	return o
}

// learnLocked sets the window by what a task takes there.
func (d *feed) learnLocked(took time.Duration) {
	if d.took += (took - d.took) / 4; d.took <= 0 {
		d.took = took
	}
	slots := d.p.engine.Slots()
	d.window = max(slots+feedSlack, min(feedMost, int(feedAhead/max(1, d.took))*slots))
}

// fillShort ends a future with the result of a short frame.
func (p *Process) fillShort(f *Future, data []byte, bare bool) {
	if !bare {
		p.fill(f, append([]byte{}, data...))
		return
	}
	if !f.Settle() {
		return
	}
	if err := f.Type().Unpack(f, data); err != nil {
		f.Fail(err)
		return
	}
	f.SetDone()
}

// adopt makes a task that is out one with an ID, a specification and a record, as others that left have it.
func (d *feed) adopt(b []byte) {
	slot, index, err := wire.ParseSlot(b)
	if err != nil {
		d.p.log.Warn("kadre: bad message of a worker", "err", err)
		return
	}
	d.mu.Lock()
	var o out
	if index == wire.Alone {
		o = d.takeLocked(slot)
	} else {
		o = d.takePieceLocked(slot, index)
	}
	at := id.Addr{Node: d.p.self.Node, Proc: d.to}
	d.mu.Unlock()
	if o.f != nil {
		leave(o.f)
		d.p.recordOut(o, at)
	}
}

// recordOut starts the record of a task that is at another process.
func (p *Process) recordOut(o out, at id.Addr) *record {
	if o.f.Ready() { // nobody wants it any more
		return nil
	}
	p.identifyAs(o.f, o.num)
	left, _ := remaining(&o.f.Task)
	rec, _, err := p.specify(o.f, wire.KindTask, left)
	if err != nil {
		o.f.Fail(err)
		return nil
	}
	p.mu.Lock()
	rec.placed, rec.at = true, at
	p.mu.Unlock()
	return rec
}

// number gives an own future the number of its ID. Until release nobody sends it, so that the worker knows the
// same.
func (d *feed) number(f *Future) (num uint64, release func()) {
	if d == nil || f.fn() == nil || f.Ready() {
		return 0, func() {}
	}
	d.mu.Lock()
	if d.flying.Load() > 0 {
		d.eachLocked(func(_ uint32, _ int, o out) {
			if o.f == f {
				num = o.num
			}
		})
	}
	return num, d.mu.Unlock
}

// take gives up to most tasks that the worker does not have yet, for another node.
func (d *feed) take(most int) (fs []*Future) {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.queue.n > 0 && len(fs) < most {
		f := d.queue.pop()
		f.Redeem() // who takes it leashes it
		if !f.Ready() {
			fs = append(fs, f)
		}
	}
	d.p.onQueued(d.queue.n)
	return fs
}

// giveBack takes tasks back that nobody took after all.
func (d *feed) giveBack(fs []*Future) {
	for _, f := range fs {
		d.entrust(f)
	}
	d.mu.Lock()
	closed := d.closed
	if closed == nil {
		for _, f := range slices.Backward(fs) {
			d.queue.unpop(f)
		}
		d.p.onQueued(d.queue.n)
		d.waitLocked()
	}
	d.mu.Unlock()
	for _, f := range fs {
		if f.Expire(); closed != nil {
			f.Redeem()
			f.Fail(closed)
		}
	}
}

// busy says whether any task is here or out.
func (d *feed) busy() bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.queue.n > 0 || d.flying.Load() > 0
}

// watch goes on while tasks are queued. The worker gets more where none has ended for a while, since those that
// it has may wait for those that it has not; and it is asked for again where that has failed.
func (d *feed) watch() {
	t := time.NewTicker(feedStall)
	defer t.Stop()
	last := d.ended.Load()
	for {
		select {
		case <-t.C:
		case <-d.p.ctx.Done():
			return
		}
		d.mu.Lock()
		if d.queue.n == 0 || d.closed != nil {
			d.watching = false
			d.mu.Unlock()
			return
		}
		switch now := d.ended.Load(); {
		case d.state == feedIdle:
			d.askLocked()
		case now == last && d.state == feedOpen:
			d.window = min(2*max(d.window, 1), feedBlocks)
			fallthrough
		default:
			last = now
			d.refillLocked()
		}
		d.mu.Unlock()
	}
}

// close fails everything that is here or out.
func (d *feed) close(err error) {
	if d == nil {
		return
	}
	d.mu.Lock()
	if d.closed == nil {
		d.closed = err
	}
	var fs []*Future
	for d.queue.n > 0 {
		fs = append(fs, d.queue.pop())
	}
	d.eachLocked(func(_ uint32, _ int, o out) { fs = append(fs, o.f) })
	d.slots, d.free = nil, nil
	d.flying.Store(0)
	d.link.Store(nil)
	d.state = feedIdle
	d.mu.Unlock()
	for _, f := range fs {
		f.Fail(err)
	}
}
