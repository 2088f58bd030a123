package node

import (
	"fmt"
	"slices"

	"github.com/kadrehq/kadre/internal/wire"
)

// pool is what errands hold amounts of: the node's resources, or those of one bundle of a placement group.
type pool struct {
	name        string           // in words; "" is the node's
	total, used map[string]int64 // in millionths
	firm        int64            // of the used CPU, what actors and placement groups hold: they never give it back meanwhile
	gone        *pool            // its group was removed: what is still held comes from this one
}

// free is what nobody holds.
func (p *pool) free(name string) int64 { return p.total[name] - p.used[name] }

// fits says whether there is enough of a resource, where so much of the CPU that is held may be promised once more.
func (p *pool) fits(a amount, lent int64) bool {
	if a.name == cpuName {
		return p.free(cpuName)+lent >= a.micro
	}
	return p.free(a.name) >= a.micro
}

func (p *pool) take(as []amount, firm bool) {
	for _, a := range as {
		p.used[a.name] += a.micro
		if firm && a.name == cpuName {
			p.firm += a.micro
		}
	}
}

// give ends take.
func (p *pool) give(as []amount, firm bool) {
	for _, a := range as {
		p.used[a.name] -= a.micro
		if firm && a.name == cpuName {
			p.firm -= a.micro
		}
	}
	if p.gone != nil {
		p.gone.give(as, true)
	}
}

// shape is what errands that want the same amounts of the same pool wait in: while the first of them cannot start the
// others cannot.
type shape struct {
	key   string
	queue []*errand // in turn, never empty
}

// shapeOf names the shape of an errand.
func shapeOf(e *errand) string { return fmt.Sprintf("%p %v %v", e.pool, e.need, e.group != nil) }

// waiting is how many tasks and actors wait for resources.
func (pl *placement) waiting() (n int) {
	for _, s := range pl.shapes {
		if s.queue[0].group == nil {
			n += len(s.queue)
		}
	}
	return n
}

// queued lists them in turn.
func (pl *placement) queued() (all []*errand) {
	for _, s := range pl.shapes {
		all = append(all, s.queue...)
	}
	all = slices.DeleteFunc(all, func(e *errand) bool { return e.cancelled })
	slices.SortStableFunc(all, func(a, b *errand) int { return int(min(max(b.turn-a.turn, -1), 1)) })
	return all
}

// enqueue makes an errand wait for what it needs.
func (pl *placement) enqueue(e *errand) {
	k := shapeOf(e)
	s := pl.shapes[k]
	if s == nil {
		s = &shape{key: k}
		pl.shapes[k] = s
	}
	s.queue = inTurn(s.queue, e)
}

// drop forgets errands that wait for resources.
func (pl *placement) drop(which func(*errand) bool) {
	for k, s := range pl.shapes {
		if s.queue = slices.DeleteFunc(s.queue, which); len(s.queue) == 0 {
			delete(pl.shapes, k)
		}
	}
}

// inTurn queues an errand behind those whose turn comes before its own.
func inTurn(queue []*errand, e *errand) []*errand {
	i := len(queue)
	for i > 0 && queue[i-1].turn < e.turn {
		i--
	}
	return slices.Insert(queue, i, e)
}

// lack is a resource of a pool that an older errand waits for: younger ones leave it to that.
type lack struct {
	pool *pool
	name string
}

// advanceLocked starts what waits and can start, in turn. One that lacks a resource holds up younger ones that want
// the same, and no others.
func (n *Node) advanceLocked() {
	pl := &n.place
	lacking, stuck := map[lack]bool{}, map[*shape]bool{}
	for {
		var s *shape
		for _, x := range pl.shapes {
			if !stuck[x] && (s == nil || x.queue[0].turn > s.queue[0].turn) {
				s = x
			}
		}
		if s == nil {
			break
		}
		e := s.queue[0]
		if !e.cancelled && !n.takeLocked(e, lacking) {
			stuck[s] = true
			continue
		}
		s.queue[0] = nil
		if s.queue = s.queue[1:]; len(s.queue) == 0 {
			delete(pl.shapes, s.key)
		}
		n.startLocked(e)
	}
	n.startOwnLocked()
}

func (n *Node) advance() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.advanceLocked()
}

// takeLocked lets an errand hold what it needs; false, and what is missing is noted, where not all of it is there.
func (n *Node) takeLocked(e *errand, lacking map[lack]bool) bool {
	p := e.pool
	lent := n.place.lent[p]
	ok := true
	for _, a := range e.need {
		if l := (lack{p, a.name}); lacking[l] || !p.fits(a, lent) {
			lacking[l] = true
			ok = false
		}
	}
	if !ok {
		return false
	}
	if lent > 0 && slices.ContainsFunc(e.need, func(a amount) bool { return !p.fits(a, 0) }) {
		n.place.lent = nil // one at a time
	}
	p.take(e.need, e.firm())
	n.place.milli += int64(e.spec.CPU)
	e.held = true
	return true
}

// firm says that an errand never gives back CPU as it waits.
func (e *errand) firm() bool { return e.spec.Kind != wire.KindTask }

// releaseLocked gives back what an errand held: it has ended, or never starts here.
func (n *Node) releaseLocked(e *errand) {
	n.place.forget(e)
	if !e.held {
		return
	}
	e.held = false
	if e.proc != nil {
		e.proc.hold(e, -1)
	}
	e.pool.give(e.need, e.firm())
	n.place.milli -= int64(e.spec.CPU)
}
