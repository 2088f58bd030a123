package registrar

import (
	"maps"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// held is a name that an actor of this node has.
type held struct {
	actor id.Actor
	info  []byte
}

// wish is a claim that waits for its lease or is under way.
type wish struct {
	op    uint64 // the shell's; 0: an actor that has held the name is to keep it
	key   string
	actor id.Actor
	info  []byte
	end   int64
	p     *proposal // under way; nil: it waits for a lease
	tried bool      // there was one: registrars may have accepted it
}

// withdraw ends a wish's proposal. A later one for the name has a higher ballot: it finds what this one did, or prevents it.
func (m *Machine) withdraw(w *wish) {
	if w.p != nil {
		delete(m.proposals, w.p.op)
		w.p = nil
	}
}

// drop ends the wishes for which f says so.
func (m *Machine) drop(f func(w *wish) bool) {
	m.wishes = slices.DeleteFunc(m.wishes, func(w *wish) bool {
		gone := f(w)
		if gone {
			m.withdraw(w)
		}
		return gone
	})
}

// watch waits until the lease of a member that is down has run out, to make it over.
type watch struct {
	count   uint64
	since   int64 // when count was seen; 0: not yet
	working bool  // a proposal is under way
}

// Claim asks for a name for an actor of this node. Done tells of the end: Granted, Taken or Unavailable.
func (m *Machine) Claim(now int64, op uint64, name string, actor id.Actor, info []byte) []Action {
	m.begin(now)
	m.wishes = append(m.wishes, &wish{op: op, key: nameMark + name, actor: actor, info: info, end: m.now + patience})
	m.holdLease()
	return m.end()
}

// Release gives a name back. Done tells when it is free; it is tried until then.
func (m *Machine) Release(now int64, op uint64, name string, actor id.Actor) []Action {
	m.begin(now)
	key := nameMark + name
	if h, ok := m.held[key]; ok && h.actor == actor {
		delete(m.held, key)
	}
	m.drop(func(w *wish) bool {
		if w.key != key || w.actor != actor {
			return false
		}
		if w.op != 0 {
			m.unavailable(w.op, noQuorum)
		}
		return true
	})
	m.giveBack(key, actor, func() { m.act(Done{Op: op, Status: Free}) })
	return m.end()
}

// giveBack frees a name that actor may have in a register.
func (m *Machine) giveBack(key string, actor id.Actor, then func()) {
	m.releasing[key] = actor
	m.propose(&proposal{verb: release, key: key, holder: Holder{Actor: actor}, done: func(*proposal, outcome) {
		if m.releasing[key] == actor {
			delete(m.releasing, key)
		}
		if then != nil {
			then()
		}
	}})
}

// Find asks who has a name: Done tells Granted, Nobody or Unavailable.
func (m *Machine) Find(now int64, op uint64, name string) []Action {
	m.begin(now)
	key := nameMark + name
	m.propose(&proposal{verb: read, key: key, end: m.now + patience, done: func(p *proposal, o outcome) {
		h := p.value.Holder
		switch {
		case o != chosen:
			m.unavailable(op, o)
		case h.Actor.IsZero() || m.isOver(h.Lease) || h.Lease.At == m.self && m.releasing[key] == h.Actor:
			m.act(Done{Op: op, Status: Nobody})
		case !m.isUp(h.Lease.At):
			m.watchLease(h.Lease)
			m.act(Done{Op: op, Status: Silent, Holder: h})
		default:
			m.act(Done{Op: op, Status: Granted, Holder: h})
		}
	}})
	return m.end()
}

func (m *Machine) unavailable(op uint64, o outcome) {
	d := Done{Op: op, Status: Unavailable}
	if o == noRoom {
		d.Status = Full
	}
	m.act(d)
}

// holdLease keeps the lease while names are held or wished for, and goes on with the wishes when it is there.
func (m *Machine) holdLease() {
	if len(m.held)+len(m.wishes) == 0 {
		return
	}
	if m.renewing == nil && (!m.leased || m.now >= m.renewed+renewEvery) {
		l := Lease{At: m.self, Term: m.term}
		p := &proposal{verb: renew, key: leaseKey(l), count: m.count, end: m.now + patience}
		p.done = func(p *proposal, o outcome) { m.leaseDone(l, p, o) }
		m.renewing = p
		m.propose(p)
	}
	if m.leased {
		m.grantWishes()
	}
}

func (m *Machine) leaseDone(l Lease, p *proposal, o outcome) {
	if m.renewing == p {
		m.renewing = nil
	}
	switch {
	case l.Term != m.term:
	case o == chosen && !p.value.Over:
		m.count = p.value.Count
		if m.now < p.began+leaseTime { // else it has run out on the way
			m.leased, m.renewed, m.until = true, p.began, p.began+leaseTime
			m.grantWishes()
		}
	case o == chosen:
		m.lapse("the nodes that keep the names have given it up: this node did not renew its lease in time")
	default:
		m.dropWishes(o)
	}
}

// dropWishes ends the claims whose time is over; those of actors that have their names already stay until the lease ends.
func (m *Machine) dropWishes(o outcome) {
	var tried []*wish
	m.drop(func(w *wish) bool {
		late := w.op != 0 && w.p == nil && (m.now >= w.end || o == noRoom || m.now >= w.end-patience+hopeless && !m.reachable())
		if late {
			m.unavailable(w.op, o)
		}
		if late && w.tried {
			tried = append(tried, w)
		}
		return late
	})
	for _, w := range tried { // under a lease that has lapsed since: the name would be that of nobody
		m.giveBack(w.key, w.actor, nil)
	}
}

func (m *Machine) grantWishes() {
	for _, w := range slices.Clone(m.wishes) {
		if w.p != nil {
			continue
		}
		l := Lease{At: m.self, Term: m.term}
		w.p = &proposal{verb: claim, key: w.key, again: w.op == 0, end: w.end, holder: Holder{Lease: l, Actor: w.actor, Info: w.info},
			done: func(p *proposal, o outcome) { m.claimed(w, p, o) }}
		w.tried = true
		m.propose(w.p)
	}
}

// claimed is the end of a wish's proposal.
func (m *Machine) claimed(w *wish, p *proposal, o outcome) {
	has := p.value.Holder
	mine := o == chosen && has.Actor == w.actor
	switch {
	case mine:
		w.p = nil
		m.held[w.key] = held{w.actor, w.info}
		m.endWish(w, Done{Op: w.op, Status: Granted, Holder: has})
	case o == chosen && m.isUnknown(has.Lease):
		m.learnLease(w, has.Lease, func(over bool) {
			if w.p = nil; !over {
				m.refuseWish(w, has)
			}
		})
	case o == chosen:
		w.p = nil
		m.refuseWish(w, has)
	case w.op == 0: // the lease ends it, if nothing else does
		w.p, w.end = nil, m.now+patience
	default:
		w.p = nil
		m.giveBack(w.key, w.actor, nil) // some may have accepted it
		d := Done{Op: w.op, Status: Unavailable}
		if o == noRoom {
			d.Status = Full
		}
		m.endWish(w, d)
	}
}

// isUnknown says whether it may be that a lease is over and this node has not heard of it.
func (m *Machine) isUnknown(l Lease) bool { return !m.isUp(l.At) && !m.isOver(l) }

func (m *Machine) endWish(w *wish, d Done) {
	m.drop(func(o *wish) bool { return o == w })
	if w.op != 0 {
		m.act(d)
	}
}

// refuseWish ends a claim on a name that another actor has. One that had the name so far ends.
func (m *Machine) refuseWish(w *wish, has Holder) {
	d := Done{Op: w.op, Status: Taken, Holder: has}
	if !m.isUp(has.Lease.At) {
		m.watchLease(has.Lease)
		d.Status = Silent
	}
	if w.op == 0 {
		delete(m.held, w.key)
		m.act(End{Name: w.key[1:], Actor: w.actor, Why: "another actor has its name, by the nodes that keep the names: two parts of the cluster have met that were born apart"})
	}
	m.endWish(w, d)
}

// lapse ends what the lease was for. Its actors end, before anybody else may have their names.
func (m *Machine) lapse(why string) {
	m.leased, m.until, m.count = false, 0, 0
	m.term++
	for _, k := range slices.Sorted(maps.Keys(m.held)) {
		h := m.held[k]
		delete(m.held, k)
		m.act(End{Name: k[1:], Actor: h.actor, Why: why})
		m.giveBack(k, h.actor, nil)
	}
	m.drop(func(w *wish) bool {
		m.withdraw(w) // it was for the lease that is over
		return w.op == 0
	})
}

// checkLease is part of each step, first of all.
func (m *Machine) checkLease() {
	if m.until != 0 && m.now >= m.until {
		m.lapse("its node did not reach a majority of the nodes that keep the names for so long that another actor may have its name")
	}
}

// isOver says that nothing holds a name by that lease any more.
func (m *Machine) isOver(l Lease) bool {
	return m.over[l] || m.epochs[l.At.Node] > l.At.Epoch || l.At == m.self && l.Term < m.term
}

// learnLease asks, for a wish, whether a lease is over.
func (m *Machine) learnLease(w *wish, l Lease, then func(over bool)) {
	w.p = &proposal{verb: read, key: leaseKey(l), end: m.now + patience, done: func(p *proposal, o outcome) {
		if o == chosen && p.value.Over {
			m.noteOver(l)
		}
		then(m.isOver(l))
	}}
	m.propose(w.p)
}

func (m *Machine) noteOver(l Lease) {
	if len(m.over) >= maxOver {
		clear(m.over) // it can be asked for again
	}
	m.over[l] = true
	delete(m.watches, l)
}

// watchLease makes a lease over once it has run out, unless it is renewed or its member comes back.
func (m *Machine) watchLease(l Lease) {
	if m.watches[l] == nil && len(m.watches) < maxWatches {
		m.watches[l] = &watch{}
	}
}

func (m *Machine) tendWatches() {
	for _, l := range slices.SortedFunc(maps.Keys(m.watches), compareLeases) {
		w := m.watches[l]
		switch {
		case m.isUp(l.At) || m.isOver(l):
			delete(m.watches, l)
		case w.working:
		case w.since == 0:
			w.working = true
			m.propose(&proposal{verb: read, key: leaseKey(l), end: m.now + patience, done: func(p *proposal, o outcome) { m.seenLease(l, w, p, o) }})
		case m.now >= w.since+leaseTime+drift:
			w.working = true
			m.propose(&proposal{verb: fence, key: leaseKey(l), count: w.count, end: m.now + patience, done: func(p *proposal, o outcome) { m.seenLease(l, w, p, o) }})
		}
	}
}

// seenLease notes what a watch has read or done.
func (m *Machine) seenLease(l Lease, w *watch, p *proposal, o outcome) {
	w.working = false
	switch {
	case o != chosen:
	case p.value.Over:
		m.noteOver(l)
	case w.since == 0 || p.value.Count != w.count:
		w.count, w.since = p.value.Count, m.now
	}
}

// scan has a registrar watch the leases of members that are down and hold names.
func (m *Machine) scan() {
	if m.acc == nil || m.now < m.scanned+scanEvery {
		return
	}
	m.scanned = m.now
	for _, k := range slices.Sorted(maps.Keys(m.acc.regs)) {
		h := m.acc.regs[k].value.Holder
		if !h.Actor.IsZero() && m.isUnknown(h.Lease) {
			m.watchLease(h.Lease)
		}
	}
}
