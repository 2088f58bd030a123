package proc

import (
	"context"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/wire"
)

// A range on its way over a feed: tasks that were submitted as one stay one entry of the queue, and what the worker
// takes of them is one frame with one slot. Each of them is a task of its own for all that can become of it: it is
// cancelled, adopted, run again and answered by the slot and its index.

// rangeBytes bounds the arguments of one range.
const rangeBytes = 16 << 10

// flight is a range that the worker has.
type flight struct {
	fs   []*Future // nil: it is done
	left int
}

// FeedsRanges says whether calls with plain options go to a worker process, as ranges: see SubmitRange.
func (p *Process) FeedsRanges(o *Options) bool {
	return p.feed != nil && o.Plain() && o.milli() <= uint32(p.engine.Slots())*1000
}

// Away makes f a call for SubmitRange, under ctx and with the options of its function or o.
func (p *Process) Away(ctx context.Context, f *Future, o *Options) {
	f.SetOptions(o)
	if !p.waits.admit(ctx, f) {
		return
	}
	p.engine.Loose(ctx, &f.Task, f.Func())
	f.kind().Stow(f)
}

// SubmitRange submits n calls of one function that Away was called for and whose arguments are ready.
func (p *Process) SubmitRange(n int, at func(int) *Future) { p.feed.addAll(n, at) }

// addAll takes calls as one.
func (d *feed) addAll(n int, at func(int) *Future) {
	for i := range n {
		d.entrust(at(i))
	}
	d.mu.Lock()
	err := d.closed
	if err == nil {
		d.queue.pushAll(n, at)
		d.refillLocked()
	}
	if d.queue.n > 0 {
		d.p.onQueued(d.queue.n)
		d.waitLocked()
	}
	full := d.queue.n >= int(d.p.waits.most)
	d.mu.Unlock()
	if full {
		d.p.waits.limit.Reach()
	}
	ended := false
	for i := range n {
		f := at(i)
		if err != nil {
			f.Redeem()
			f.Fail(err)
		} else {
			ended = f.Expire() || ended
		}
	}
	if ended {
		d.dropAll(func(*Future) bool { return true })
	}
}

// sendRangeLocked gives the worker what it may have of the stretch in front, or its first task alone where that needs
// more than a piece of a range. False: there is no room in the ring.
func (d *feed) sendRangeLocked(s *stretch) bool {
	first := s.at(s.lo)
	link := d.link.Load()
	num, ok, room := d.nameLocked(link, first.kind())
	if !ok {
		return room && d.sendFirstLocked()
	}
	slot, ok := d.slotLocked()
	if !ok {
		return false
	}
	most := min(d.window-int(d.flying.Load()), wire.MaxRange, s.hi-s.lo)
	c := d.callLocked(first, slot, num)
	c.Num = d.p.ids.Several(most)
	part := &flight{fs: make([]*Future, 0, most)}
	b := c.AppendRange(d.buf[:0])
	i := s.lo
	for ; i < s.hi && len(part.fs) < most; i++ {
		f := s.at(i)
		if f.Ready() { // cancelled
			f.Redeem()
			continue
		}
		at := len(b)
		if f.object() != nil || at > rangeBytes {
			break
		}
		b, ok = f.kind().Pack(f, wire.OpenPiece(b))
		if !ok || !wire.ClosePiece(b, at) {
			b = b[:at]
			break
		}
		part.fs = append(part.fs, f)
	}
	d.buf = b[:0]
	n := len(part.fs)
	if n == 0 && i == s.lo {
		return d.sendFirstLocked()
	}
	if n > 0 {
		end, ok := link.Put(b)
		if !ok {
			return false
		}
		part.left = n
		d.fillLocked(slot, out{part: part, num: c.Num, end: end}, n)
		for j := 0; trace.On() && j < n; j++ {
			d.p.markName(part.fs[j], id.TaskOf(d.p.self.Proc, c.Num+uint64(j)))
		}
	}
	d.queue.drop(i - s.lo)
	return true
}

// sendFirstLocked sends the first task of the queue by itself.
func (d *feed) sendFirstLocked() bool {
	f := d.queue.pop()
	if f.Ready() { // cancelled
		f.Redeem()
		return true
	}
	if d.sendLocked(f) {
		return true
	}
	d.queue.unpop(f)
	return false
}

// eachLocked gives all tasks that are out.
func (d *feed) eachLocked(yield func(slot uint32, index int, o out)) {
	for i, o := range d.slots {
		switch {
		case o.f != nil:
			yield(uint32(i), wire.Alone, o)
		case o.part != nil:
			for j, f := range o.part.fs {
				if f != nil {
					yield(uint32(i), j, out{f: f, num: o.num + uint64(j), end: o.end})
				}
			}
		}
	}
}

// takePieceLocked is takeLocked for a piece of a range.
func (d *feed) takePieceLocked(slot uint32, index int) (o out) {
	if int(slot) >= len(d.slots) {
		return o
	}
	part := d.slots[slot].part
	if part == nil || index >= len(part.fs) || part.fs[index] == nil {
		return o
	}
	o = out{f: part.fs[index], num: d.slots[slot].num + uint64(index), end: d.slots[slot].end}
	part.fs[index] = nil
	d.flying.Add(-1)
	if part.left--; part.left == 0 {
		d.slots[slot] = out{}
		d.free = append(d.free, slot)
	}
	return o
}

// named gives a task that is out the ID that it knows itself by, while its slot still tells everybody else.
func (d *feed) named(slot uint32, index int) {
	var o out
	d.mu.Lock()
	if int(slot) < len(d.slots) {
		o = d.slots[slot]
	}
	if index != wire.Alone {
		o.f = nil
		if o.part != nil && index < len(o.part.fs) {
			o.f, o.num = o.part.fs[index], o.num+uint64(index)
		}
	}
	d.mu.Unlock()
	if o.f != nil {
		d.p.identifyAs(o.f, o.num)
	}
}

// piece is the end of one task of a batch.
type piece struct {
	o      out
	end    wire.Ended
	result []byte
}

// dones takes a batch of results. It runs on the goroutine that has the baton.
func (d *feed) dones(b []byte) {
	slot, rest, err := wire.ParseDones(b)
	got := d.batch[:0]
	took := time.Duration(0)
	d.mu.Lock()
	for err == nil && len(rest) > 0 {
		var x piece
		var index uint32
		if index, x.end, x.result, rest, err = wire.ParsePieceEnd(rest); err != nil {
			break
		}
		if x.end.Named {
			d.mu.Unlock()
			d.named(slot, int(index))
			d.mu.Lock()
		}
		if x.o = d.takePieceLocked(slot, int(index)); x.o.f == nil {
			d.strangeLocked(slot)
			continue
		}
		if x.end.Took > 0 {
			took = x.end.Took
		}
		got = append(got, x)
	}
	if took > 0 {
		d.learnLocked(took)
	}
	if d.queue.n > 0 {
		d.refillLocked()
	}
	d.mu.Unlock()
	if err != nil {
		d.p.log.Warn("kadre: bad results of a worker", "err", err)
	}
	d.ended.Add(uint64(len(got)))
	for i := range got {
		d.settle(got[i].o.f, &got[i].end, got[i].result)
	}
	clear(got)
	d.batch = got[:0]
}
