package registrar

import (
	"cmp"
	"maps"
	"slices"
)

// change is one member's work on the end of a configuration: first it has a majority take no more proposals and tell what
// they have, then it has a majority accept what comes next (one decision for each configuration, by Paxos), and last it
// has the members of that start. Any member may do it, and go on where another one stopped.
type change struct {
	op      uint64
	conf    Conf // that ends
	members []Member
	ballot  Ballot
	phase   uint8
	began   int64
	votes   []Member
	best    Ballot
	next    *Config
	state   []Register
	merged  map[string]Register
	ready   map[Member]bool // members of next that have started
}

const (
	sealing   = 1 + iota // phase one
	deciding             // phase two
	beginning            // the next configuration's members start
)

// wanted is who should be the registrars, as seen from here: five where there are so many nodes, else three, else one;
// those that are and live stay. All are up: who is down for less than grace may come back, and nothing changes meanwhile.
func (m *Machine) wanted() []Member {
	here := []Member{}
	if !m.leaving {
		here = append(here, m.self)
	}
	for n, e := range m.up {
		here = append(here, Member{Node: n, Epoch: e})
	}
	slices.SortFunc(here, Member.compare)
	want := 1
	switch n := len(here); {
	case n == 0:
		return m.cfg.Members
	case n >= 5:
		want = 5
	case n >= 3:
		want = 3
	}
	var l []Member
	for _, r := range m.cfg.Members {
		if since, down := m.down[r.Node]; down && m.now < since+grace && m.epochs[r.Node] <= r.Epoch && !m.leaving {
			return m.cfg.Members
		}
		if slices.Contains(here, r) {
			l = append(l, r)
		}
	}
	for _, r := range here {
		if len(l) < want && !slices.Contains(l, r) && !slices.ContainsFunc(l, func(o Member) bool { return o.Node == r.Node }) {
			l = append(l, r)
		}
	}
	return l[:min(len(l), want)]
}

// tendConfig begins a change where one is due, and goes on with one.
func (m *Machine) tendConfig() {
	if c := m.change; c != nil {
		if c.phase != beginning && m.now >= c.began+changeRetry+m.jitter(changeRetry) {
			m.seal(c)
		} else if c.phase == beginning && m.now >= c.began+retryAfter {
			m.sendStarts(c)
		}
		return
	}
	if m.acc == nil || m.now < m.settled+settle || m.now < m.quietUntil {
		return
	}
	a := m.acc
	switch {
	case a.wedged: // whoever did it may be gone
		if m.now < a.since+settle*(1+int64(slices.Index(a.cfg.Members, m.self))) {
			return
		}
	case !m.reachable() || !m.first():
		return
	case !slices.Equal(m.wanted(), m.cfg.Members) || m.littered():
	default:
		return
	}
	m.beginChange()
}

// first says whether this member is the first of the registrars that is up: it is to see to changes.
func (m *Machine) first() bool {
	for _, r := range m.cfg.Members {
		if m.isUp(r) {
			return r == m.self
		}
	}
	return false
}

// littered says whether most of many registers are empty.
func (m *Machine) littered() bool {
	if len(m.acc.regs) < litter {
		return false
	}
	empty := 0
	for k, g := range m.acc.regs {
		if isName(k) && g.value.Holder.Actor.IsZero() {
			empty++
		}
	}
	return empty > len(m.acc.regs)/2
}

func (m *Machine) beginChange() {
	m.ops++
	m.change = &change{op: m.ops, conf: m.cfg.Conf, members: m.cfg.Members}
	m.seal(m.change)
}

// seal begins a round of c.
func (m *Machine) seal(c *change) {
	m.round++
	c.phase, c.ballot, c.began = sealing, Ballot{Round: m.round, By: m.self}, m.now
	c.votes, c.best, c.next, c.state, c.merged = nil, Ballot{}, nil, nil, map[string]Register{}
	for _, r := range c.members {
		m.send(r, Message{Kind: SealPrepare, Conf: c.conf, Op: c.op, Ballot: c.ballot})
	}
}

// sealed takes a registrar's answer about the end of its configuration.
func (m *Machine) sealed(from Member, msg *Message) {
	c := m.change
	if c == nil || msg.Op != c.op || msg.Ballot != c.ballot || msg.Conf != c.conf || !slices.Contains(c.members, from) {
		return
	}
	majority := len(c.members)/2 + 1
	switch {
	case msg.Kind == Refuse:
		m.round = max(m.round, msg.Accepted.Round)
		return
	case slices.Contains(c.votes, from):
		return
	case msg.Kind == SealPromise && c.phase == sealing:
		if msg.Config != nil {
			if msg.Accepted.compare(c.best) > 0 {
				c.best, c.next, c.state = msg.Accepted, msg.Config, msg.State
			}
		} else {
			for _, r := range msg.State {
				if has, ok := c.merged[r.Key]; !ok || r.Accepted.compare(has.Accepted) > 0 {
					c.merged[r.Key] = r
				}
			}
		}
		if c.votes = append(c.votes, from); len(c.votes) < majority {
			return
		}
		if c.next == nil {
			conf := c.conf
			conf.Number++
			c.next = &Config{Conf: conf, Members: m.wanted()}
			c.state = m.clean(c.merged)
		}
		c.phase, c.votes = deciding, nil
		for _, r := range c.members {
			m.send(r, Message{Kind: SealAccept, Conf: c.conf, Op: c.op, Ballot: c.ballot, Config: c.next, State: c.state})
		}
	case msg.Kind == SealAccepted && c.phase == deciding:
		if c.votes = append(c.votes, from); len(c.votes) == majority {
			c.phase, c.ready = beginning, map[Member]bool{}
			m.sendStarts(c)
		}
	}
}

// clean leaves out what no register needs any more: names without an actor and those of leases that are over, and leases
// without names. A lease that is left out and lives is counted on from where its member knows.
func (m *Machine) clean(merged map[string]Register) []Register {
	over := func(l Lease) bool {
		r, ok := merged[leaseKey(l)]
		return m.isOver(l) || ok && r.Value.Over
	}
	var l []Register
	leases := map[string]bool{}
	for _, k := range slices.Sorted(maps.Keys(merged)) {
		r := merged[k]
		if h := r.Value.Holder; isName(k) && !h.Actor.IsZero() && !over(h.Lease) {
			l = append(l, r)
			leases[leaseKey(h.Lease)] = true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(merged)) {
		if leases[k] {
			l = append(l, merged[k])
		}
	}
	slices.SortFunc(l, func(a, b Register) int { return cmp.Compare(a.Key, b.Key) })
	return l
}

// sendStarts has the members of the next configuration start, those that are not known to have.
func (m *Machine) sendStarts(c *change) {
	c.began = m.now
	for _, r := range c.next.Members {
		if !c.ready[r] {
			m.send(r, Message{Kind: Start, Conf: c.next.Conf, Config: c.next, State: c.state})
		}
	}
}

// start makes this member a registrar of a configuration. It does so once for each, since what it has promised goes with it.
func (m *Machine) start(from Member, cfg *Config, state []Register) {
	known := func(a *acceptor) bool { return a != nil && a.cfg.Conf == cfg.Conf }
	switch {
	case known(m.acc) || known(m.next):
		m.send(from, Message{Kind: Started, Conf: cfg.Conf})
		return
	case !cfg.has(m.self) || m.top.After(cfg.Conf) || m.top == cfg.Conf && m.topStarted:
		return
	}
	m.top, m.topStarted = cfg.Conf, true
	m.next = newAcceptor(m.self, *cfg, state)
	m.startSent = m.now
	for _, r := range cfg.Members {
		if r != m.self {
			m.send(r, Message{Kind: Started, Conf: cfg.Conf})
		}
	}
	if !cfg.has(from) {
		m.send(from, Message{Kind: Started, Conf: cfg.Conf})
	}
	m.establish()
}

// heardStart notes who has started.
func (m *Machine) heardStart(from Member, conf Conf) {
	for _, a := range []*acceptor{m.acc, m.next} {
		if a != nil && a.cfg.Conf == conf && a.cfg.has(from) {
			a.started[from] = true
		}
	}
	m.establish()
	if c := m.change; c != nil && c.phase == beginning && c.next.Conf == conf && slices.Contains(c.next.Members, from) {
		if c.ready[from] = true; len(c.ready) >= c.next.majority() {
			m.adopt(c.next)
		}
	}
}

// establish makes the next configuration the one that counts once a majority of its members has started: from then on
// nothing of the one before is needed.
func (m *Machine) establish() {
	switch {
	case m.next == nil:
	case m.next.cfg.Conf == m.cfg.Conf: // the news of it came first
		m.acc, m.next = m.next, nil
	case len(m.next.started) >= m.next.cfg.majority():
		m.adopt(&m.next.cfg)
	}
}

// adopt makes cfg the configuration that counts, unless a later one does.
func (m *Machine) adopt(cfg *Config) {
	if !cfg.Conf.After(m.cfg.Conf) {
		return
	}
	was := m.cfg
	m.cfg = Config{Conf: cfg.Conf, Members: slices.Clone(cfg.Members)}
	m.settled, m.lostSince = m.now, 0
	for _, r := range m.cfg.Members {
		_, down := m.down[r.Node]
		if _, up := m.up[r.Node]; !down && !up && r.Node != m.self.Node {
			m.down[r.Node] = m.now
		}
	}
	switch {
	case m.next != nil && m.next.cfg.Conf == cfg.Conf:
		m.acc, m.next = m.next, nil
		m.acc.established = true
	default:
		m.acc = nil
		if m.next != nil && cfg.Conf.After(m.next.cfg.Conf) {
			m.next = nil
		}
	}
	if cfg.Conf.After(m.top) {
		m.top, m.topStarted = cfg.Conf, false
	}
	if c := m.change; c != nil && (cfg.Conf.After(c.conf)) {
		m.change = nil
	}
	m.act(Changed{Config: m.cfg})
	m.tellAll()
	if was.Conf.line() != cfg.Conf.line() {
		m.quietUntil = 0
		m.moveHouse()
	}
	for _, op := range slices.Clone(m.order) {
		if p := m.proposals[op]; p != nil && p.conf != m.cfg.Conf {
			m.attempt(p)
		}
	}
}

// moveHouse claims in another line the names that actors of this node have. They go on meanwhile, as long as the lease would.
func (m *Machine) moveHouse() {
	for _, k := range slices.Sorted(maps.Keys(m.held)) {
		h := m.held[k]
		m.drop(func(w *wish) bool { return w.key == k && w.op == 0 })
		m.wishes = append(m.wishes, &wish{key: k, actor: h.actor, info: h.info, end: m.now + patience})
	}
	for _, w := range m.wishes {
		m.withdraw(w)
	}
	m.leased, m.renewing = false, nil
	m.until = m.now + leaseTime
	m.holdLease()
}

// checkLost founds a line of its own where so many registrars have started anew that no majority can ever be had: what they
// knew is gone. There may be later configurations than the one known here: peers that are up tell, and one that is not may be
// a registrar of it, so all must be up, and the one that has been so for longest does it. Who holds names by them may do so for as long as a lease lasts, and takes them along; new holders wait.
func (m *Machine) checkLost() {
	switch {
	case len(m.down) > 0 || !m.isLost():
		m.lostSince = 0
		return
	case m.lostSince == 0:
		m.lostSince = m.now
		m.tellAll()
		return
	case m.now < m.lostSince+grace:
		if m.jitter(8) == 0 {
			m.tellAll()
		}
		return
	}
	m.lostSince = 0
	conf := Conf{Era: m.cfg.Conf.Era + 1, Genesis: Genesis{By: m.self, Nth: m.founded}, Number: 1}
	m.founded++
	cfg := Config{Conf: conf, Members: []Member{m.self}}
	m.top, m.topStarted = conf, true
	m.next = newAcceptor(m.self, cfg, nil)
	m.adopt(&cfg)
	m.quietUntil = m.now + leaseTime + drift
}

// isLost says whether it is for this member to found a line: there is no majority of the configuration that counts, or none
// of the one that is decided to follow it, whose members have not started and never will. Of the latter only the registrars
// that are left know.
func (m *Machine) isLost() bool {
	if m.goneFor(m.cfg.Members) {
		return m.lowest()
	}
	return m.change != nil && m.change.phase == beginning && m.goneFor(m.change.next.Members) && m.first()
}

// goneFor says whether so many of members have started anew that no majority of them can ever be had.
func (m *Machine) goneFor(members []Member) bool {
	gone := 0
	for _, r := range members {
		if m.epochs[r.Node] > r.Epoch {
			gone++
		}
	}
	return gone > (len(members)-1)/2
}

// lowest says whether no peer that is up has started before this member: it is the one to found.
func (m *Machine) lowest() bool {
	for n, e := range m.up {
		if m.self.compare(Member{Node: n, Epoch: e}) > 0 {
			return false
		}
	}
	return true
}

// tellAll tells all peers which configuration counts.
func (m *Machine) tellAll() {
	for _, n := range slices.Sorted(maps.Keys(m.up)) {
		m.tellNews(Member{Node: n, Epoch: m.up[n]})
	}
}

func (m *Machine) tellNews(to Member) {
	cfg := m.cfg // as it is now: the message may be on its way when that changes
	m.send(to, Message{Kind: News, Conf: m.cfg.Conf, Config: &cfg})
}

// tendStarts sends what a configuration began with, and what came since, to members that have not started. To them it is as if
// they had accepted what this one has, and been silent so far. It is done after a seal too: they may be needed for a majority.
func (m *Machine) tendStarts() {
	if m.now < m.startSent+retryAfter {
		return
	}
	for _, a := range []*acceptor{m.acc, m.next} {
		if a == nil {
			continue
		}
		for _, r := range a.cfg.Members {
			if !a.started[r] && m.isUp(r) {
				m.startSent = m.now
				cfg := a.cfg
				m.send(r, Message{Kind: Start, Conf: cfg.Conf, Config: &cfg, State: a.snapshot()})
			}
		}
	}
}
