package proc

import (
	"errors"
	"slices"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// askLocked asks the node for the worker, then for a link with it.
func (d *feed) askLocked() {
	d.state = feedAsked
	p := d.p
	go p.request(p.nodeAddr(), wire.KWorker, nil, func(b []byte, err error) {
		var m wire.Placed
		if err == nil {
			err = wire.Unmarshal(b, &m)
		}
		if err != nil {
			d.refused(replied(err))
			return
		}
		d.found(m.To.Proc)
	})
}

// found is the node's answer: the worker. A node that has not cleared it away yet gives a worker that is gone: no link to
// it can be had, or its death is known here already. Then the watch asks again, until there is another one.
func (d *feed) found(to id.Proc) {
	p := d.p
	p.mu.Lock()
	d.mu.Lock()
	if d.state != feedAsked {
		d.mu.Unlock()
		p.mu.Unlock()
		return
	}
	d.to = to
	s := p.links[to]
	if p.isDeadLocked(id.Addr{Node: p.self.Node, Proc: to}) || s != nil && s.fail {
		d.state = feedIdle
		d.mu.Unlock()
		p.mu.Unlock()
		return
	}
	d.mu.Unlock()
	if s == nil {
		s = &sibling{}
		p.links[to] = s
		p.askLinkLocked(to, s)
	}
	link := s.link
	p.mu.Unlock()
	if link != nil {
		d.open(to, link)
	}
}

// refused ends what waits when the worker does not come up; where the node itself takes no work, what waits goes
// by way of it, to other nodes.
func (d *feed) refused(err error) {
	var start *WorkerStartError
	fails := errors.As(err, &start)
	var fs []*Future
	d.mu.Lock()
	d.state = feedIdle
	for d.queue.n > 0 {
		fs = append(fs, d.queue.pop())
	}
	d.p.onQueued(0)
	d.mu.Unlock()
	go func() {
		for _, f := range fs {
			if leave(f); fails {
				f.Fail(start)
			} else {
				d.p.place(&f.Task, f, wire.KindTask, true, nil)
			}
		}
	}()
}

// open starts handing tasks over.
func (d *feed) open(to id.Proc, link *wire.Link) {
	if d == nil {
		return
	}
	p := d.p
	p.mu.Lock()
	defer p.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != feedAsked || d.to != to || d.closed != nil {
		return
	}
	if p.isDeadLocked(id.Addr{Node: p.self.Node, Proc: to}) {
		d.state = feedIdle // watch asks again
		return
	}
	d.state, d.told = feedOpen, 0
	d.window = max(d.window, p.engine.Slots()+feedSlack)
	d.link.Store(link)
	d.refillLocked()
}

// unlinked is the news that no link to a process can be had.
func (d *feed) unlinked(to id.Proc) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state == feedAsked && d.to == to {
		d.state = feedIdle // watch asks again
	}
}

// lastWords takes out what a worker that is gone had sent. It comes before the news of its end: what it had the driver adopt
// has a record then, which that news finds.
func (d *feed) lastWords(to id.Proc) {
	if d == nil {
		return
	}
	d.mu.Lock()
	link := d.link.Load()
	if d.to != to || link == nil {
		d.mu.Unlock()
		return
	}
	d.state = feedBroken
	d.mu.Unlock()
	link.DrainLast(d.p.fromWorker)
}

// died sorts out what a worker had that is gone, after its last words: frames that it never took go to the next worker,
// and all others are run again or fail, as their retries say.
func (d *feed) died(to id.Proc, why string) {
	if d == nil {
		return
	}
	d.mu.Lock()
	link := d.link.Load()
	if d.to != to || link == nil {
		if d.to == to && d.state == feedAsked { // nobody else says that no link to it will come
			d.state = feedIdle // watch asks again
		}
		d.mu.Unlock()
		return
	}
	d.mu.Unlock()
	taken := link.Taken()
	at := id.Addr{Node: d.p.self.Node, Proc: to}
	var lost []out
	d.mu.Lock()
	var unread []*Future
	d.eachLocked(func(_ uint32, _ int, o out) {
		if int64(o.end-taken) > 0 {
			unread = append(unread, o.f)
		} else {
			lost = append(lost, o)
		}
	})
	for _, f := range slices.Backward(unread) {
		d.queue.unpop(f)
	}
	d.slots, d.free = nil, nil
	clear(d.funcs)
	d.flying.Store(0)
	d.link.Store(nil)
	d.state = feedIdle
	if d.queue.n > 0 {
		d.waitLocked()
	}
	d.mu.Unlock()
	d.ended.Add(1)
	for _, o := range lost {
		leave(o.f)
		rec := d.p.recordOut(o, at)
		if rec == nil {
			continue
		}
		d.p.mu.Lock()
		todo := d.p.retryLocked(rec, why)
		d.p.mu.Unlock()
		todo.run()
	}
}

// fromWorker takes a frame on the link to the worker.
func (p *Process) fromWorker(b []byte) {
	if !wire.IsShort(b) {
		p.handle(b)
		return
	}
	switch b[0] {
	case wire.ShortDone:
		p.feed.done(b)
	case wire.ShortDones:
		p.feed.dones(b)
	case wire.ShortAdopt:
		p.feed.adopt(b)
	default:
		p.log.Warn("kadre: a worker hands tasks to its driver")
	}
}

// getterLooks is the number of looks between two looks at the clock and at the CPUs.
const getterLooks = 64

// idleCPU says whether a CPU of the node has nothing to do.
func (p *Process) idleCPU() bool {
	_, free := p.arena.CPUs()
	return free >= 1000
}

// patient says whether to look on for what has not come on a link since begin.
func (p *Process) patient(link *wire.Link, begin time.Time) bool {
	d, rang := time.Since(begin), link.Rang()
	if d < wire.SpinAlone && !rang {
		return true
	}
	if idle := p.idleCPU(); !idle || d > wire.SpinMost && !(rang && d < wire.SpinWake) {
		return !idle && d < wire.SpinLeast
	}
	shm.Yield()
	return true
}

// look takes results out of the ring for a getter that waits for t, as long as some come, or a CPU is idle and
// one is to come soon.
func (p *Process) look(t *sched.Task) {
	d := p.feed
	link := d.link.Load()
	if link == nil || d.flying.Load() == 0 {
		return
	}
	for begin := time.Now(); !t.Ready(); {
		switch {
		case !link.Grab(): // somebody else looks
			for range getterLooks {
				if t.Ready() {
					return
				}
			}
		case p.pump(link, t):
			return
		}
		if !p.patient(link, begin) {
			return
		}
	}
}

// pump has the baton of the link and gives it back: when t is done, or nothing has come for a while. It says
// whether t is done.
func (p *Process) pump(link *wire.Link, t *sched.Task) (done bool) {
	var begin time.Time
	for looks := 1; ; looks++ {
		if link.Pending() {
			if n, err := link.Pump(p.fromWorker, feedLook); err != nil || n == 0 {
				break
			}
			begin = time.Time{}
		}
		if done = t.Ready(); done {
			break
		}
		if link.Rang() { // the worker wakes up, most often on this CPU
			if begin.IsZero() {
				begin = time.Now()
			} else if time.Since(begin) > wire.SpinWake {
				break
			}
			link.Doze(wire.SpinWake)
			continue
		}
		if looks%getterLooks != 0 {
			continue
		}
		if begin.IsZero() {
			begin = time.Now()
		} else if !p.patient(link, begin) {
			break
		}
	}
	if !done {
		p.poller.Unattend(link)
	}
	p.drop(link)
	return t.Ready()
}

// drop gives the baton of the link back, and takes out what comes before that.
func (p *Process) drop(link *wire.Link) {
	for !link.Drop(true) {
		if _, err := link.Pump(p.fromWorker, feedLook); err != nil {
			link.Drop(false)
			return
		}
	}
}
