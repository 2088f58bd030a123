package registrar

import "slices"

// verb is what a proposal does to its register.
type verb uint8

const (
	read    verb = iota // nothing
	claim               // let holder have the name
	release             // holder has it no more
	renew               // count a renewal of the lease
	fence               // the lease is over, unless it was renewed since
)

// outcome is how a proposal ended.
type outcome uint8

const (
	chosen   outcome = iota + 1
	noQuorum         // no majority answered in time
	noRoom           // the registrars keep as much as they can
)

// proposal is one change of a register: CASPaxos, a round of Paxos over a function of the value.
type proposal struct {
	op     uint64
	verb   verb
	key    string
	holder Holder // claim, release
	again  bool   // claim: the holder has held the name before
	count  uint64 // renew: more than that; fence: exactly that
	end    int64  // when it is given up; 0: never
	done   func(*proposal, outcome)

	conf     Conf
	ballot   Ballot // zero while it only asks
	accept   bool   // the second phase
	began    int64  // this attempt
	retry    int64  // the next one
	first    int64  // the first one
	votes    []Member
	best     Ballot
	agreed   bool  // all votes have the same
	value    Value // before; after the proposal: what is there
	proposed Value
}

// propose begins p.
func (m *Machine) propose(p *proposal) {
	m.ops++
	p.op, p.first = m.ops, m.now
	m.proposals[p.op] = p
	m.order = append(m.order, p.op)
	m.attempt(p)
}

// attempt begins a round of p: reads ask first, and go through a round only where registrars differ.
func (m *Machine) attempt(p *proposal) {
	p.conf, p.accept, p.began = m.cfg.Conf, false, m.now
	p.votes, p.best, p.value, p.agreed = nil, Ballot{}, Value{}, true
	p.retry = m.now + retryAfter + m.jitter(retryAfter)
	msg := Message{Kind: Query, Conf: p.conf, Op: p.op, Key: p.key}
	if p.verb == read && p.ballot == (Ballot{}) && p.began == p.first {
		m.toRegistrars(msg)
		return
	}
	m.round++
	p.ballot = Ballot{Round: m.round, By: m.self}
	msg.Kind, msg.Ballot, msg.Fresh = Prepare, p.ballot, p.verb == claim && !p.again
	m.toRegistrars(msg)
}

// later puts p off.
func (m *Machine) later(p *proposal) { p.retry = m.now + pause + m.jitter(pause) }

// answered takes a registrar's answer to a proposal.
func (m *Machine) answered(from Member, msg *Message) {
	p := m.proposals[msg.Op]
	if p == nil || msg.Conf != p.conf || msg.Ballot != p.ballot || !m.cfg.has(from) || m.cfg.Conf != p.conf || slices.Contains(p.votes, from) {
		return
	}
	switch {
	case msg.Kind == Refuse:
		m.round = max(m.round, msg.Accepted.Round)
		if msg.Why == full {
			m.finish(p, noRoom)
			return
		}
		if p.ballot == (Ballot{}) {
			p.began = 0 // ask no more
		}
		m.later(p)
	case msg.Kind == Promise && !p.accept:
		if len(p.votes) > 0 && msg.Accepted != p.best {
			p.agreed = false
		}
		if msg.Accepted.compare(p.best) > 0 || len(p.votes) == 0 {
			p.best, p.value = msg.Accepted, msg.Value
		}
		if p.votes = append(p.votes, from); len(p.votes) == m.cfg.majority() {
			m.promised(p)
		}
	case msg.Kind == Accepted && p.accept:
		if p.votes = append(p.votes, from); len(p.votes) == m.cfg.majority() {
			p.value = p.proposed
			m.finish(p, chosen)
		}
	}
}

// promised goes on with a proposal that knows the value: a majority has promised.
func (m *Machine) promised(p *proposal) {
	v, changed := m.apply(p)
	if !changed && p.agreed { // what a majority has accepted under one ballot, or nothing, is chosen
		m.finish(p, chosen)
		return
	}
	if p.ballot == (Ballot{}) {
		m.round++
		m.attemptFully(p)
		return
	}
	p.accept, p.votes, p.proposed = true, nil, v
	m.toRegistrars(Message{Kind: Accept, Conf: p.conf, Op: p.op, Key: p.key, Ballot: p.ballot, Value: v})
}

func (m *Machine) attemptFully(p *proposal) {
	p.ballot = Ballot{Round: m.round, By: m.self}
	m.attempt(p)
}

// apply is what p makes of the value of its register.
func (m *Machine) apply(p *proposal) (v Value, changed bool) {
	v = p.value
	switch p.verb {
	case claim:
		if h := v.Holder; h.Actor.IsZero() || h.Actor == p.holder.Actor || m.isOver(h.Lease) || m.releasing[p.key] == h.Actor && h.Lease.At == m.self {
			v.Holder = p.holder
			return v, true // also where it was: the lease may be another
		}
	case release:
		if v.Holder.Actor == p.holder.Actor {
			return Value{}, true
		}
	case renew:
		if !v.Over {
			v.Count = max(v.Count, p.count) + 1
			return v, true
		}
	case fence:
		if !v.Over && v.Count == p.count {
			v.Over = true
			return v, true
		}
	}
	return v, false
}

func (m *Machine) finish(p *proposal, o outcome) {
	delete(m.proposals, p.op)
	p.done(p, o)
}

// retryProposals begins new rounds where the time has come, and gives up. A change of the configuration is noticed here.
func (m *Machine) retryProposals() {
	live := m.order[:0]
	todo := slices.Clone(m.order)
	for _, op := range todo {
		if m.proposals[op] != nil {
			live = append(live, op)
		}
	}
	m.order = live
	for _, op := range slices.Clone(live) {
		p := m.proposals[op]
		switch {
		case p == nil:
		case p.end != 0 && (m.now >= p.end || m.now >= p.first+hopeless && !m.reachable()):
			m.finish(p, noQuorum)
		case m.now >= p.retry || p.conf != m.cfg.Conf:
			m.attempt(p)
		}
	}
}

// reachable says whether a majority of the registrars is up, as seen from here.
func (m *Machine) reachable() bool {
	n := 0
	for _, r := range m.cfg.Members {
		if m.isUp(r) {
			n++
		}
	}
	return n >= m.cfg.majority()
}

func (m *Machine) isUp(r Member) bool { return r == m.self || m.up[r.Node] == r.Epoch }
