package member

import (
	"fmt"
	"math"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// Constants of suspicion.
const (
	suspectMult = 3 // times log10 of the cluster's size times probeEvery: the shortest suspicion
	suspectMost = 2 // times that: the longest, without a second node that says the same
	pokeEvery   = sec
)

// suspicion of a node runs from the first claim until it is refuted or time is up.
type suspicion struct {
	since, until int64
	from         []id.Node // who noticed; the first begins it, a second shortens it
}

func (s *suspicion) by() id.Node {
	if len(s.from) > 0 {
		return s.from[0]
	}
	return ""
}

// shortest is how long a suspicion runs that a second node confirms.
func (m *Machine) shortest() int64 {
	return int64(suspectMult * max(1, math.Log10(float64(max(1, m.gossip.n)))) * float64(probeEvery))
}

func rank(s State) int {
	return [...]int{Alive: 1, Suspect: 2, Dead: 3, Left: 4}[s]
}

// claim takes what by says of a node, if it is newer than what is known.
func (m *Machine) claim(c Claim, by *peer, now int64) {
	if c.ID == m.self.ID {
		m.refute(c, by)
		return
	}
	if m.denied[c.ID] || m.left {
		return
	}
	p := m.peers[c.ID]
	if p == nil {
		if c.State != Alive {
			return
		}
		if p = m.add(c.ID, FoundMember); p == nil {
			return
		}
		p.Epoch = c.Epoch
	}
	switch {
	case c.Epoch < p.Epoch, c.Epoch < p.met:
		return
	case c.Epoch > p.Epoch && c.State != Alive:
		return
	case c.Epoch > p.Epoch:
		if p.up() {
			m.down(p, Dead, "restarted: others know a later start of it", now)
		}
		p.State = Known
		m.begin(p, c.Epoch)
	}
	switch {
	case p.Said == Left:
	case p.Said == 0 && c.State != Alive && !p.up(): // nothing is lost if nobody has it for alive
	case c.State == Left:
		m.apply(p, c, now)
	case c.Inc < p.inc:
	case c.Inc > p.inc, p.Said == 0, rank(c.State) > rank(p.Said):
		m.apply(p, c, now)
	case c.State == Suspect && p.Said == Suspect:
		m.confirm(p, c.From)
	}
}

// refute answers a claim that this node is not alive by a newer one.
func (m *Machine) refute(c Claim, by *peer) {
	if c.Epoch != m.self.Epoch || c.State == Alive || m.left {
		return
	}
	if c.Inc >= m.inc {
		m.inc = c.Inc
		m.renew()
		m.probe.worse(1)
	}
	m.send(by, Gossip{Claims: []Claim{m.ownClaim()}})
}

// apply makes a newer claim the known one.
func (m *Machine) apply(p *peer, c Claim, now int64) {
	early := c.State == Dead && !m.agrees(p)
	if early {
		c.State = Suspect
		if p.Said == Suspect && c.Inc == p.inc {
			m.confirm(p, c.From)
			return
		}
	}
	p.inc, p.Said = c.Inc, c.State
	m.spread(p)
	switch c.State {
	case Alive:
		p.suspect, p.digest = suspicion{}, c.Digest
		m.alive(p, c, now)
	case Suspect:
		m.suspected(p, c.From, now)
		if early {
			p.suspect.until = now + m.shortest()/2
		}
	case Dead:
		p.suspect = suspicion{since: now, from: []id.Node{c.From}}
		m.verdict(p, Dead, fmt.Sprintf("%s and others heard nothing of it", c.From.Short()), now)
	case Left:
		m.verdict(p, Left, "left", now)
	}
}

// agrees says that what this node itself hears does not speak against p's death: it suspects p too and has not
// heard it since. Else it asks p first, for half a suspicion.
func (m *Machine) agrees(p *peer) bool {
	if p.lane == 0 {
		return true
	}
	return p.Said == Suspect && p.heard < p.suspect.since
}

// alive takes an Alive claim: who is not up yet is dialed, whose descriptor has changed is asked for it.
func (m *Machine) alive(p *peer, c Claim, now int64) {
	switch {
	case !p.up():
		p.Addrs = c.Addrs
		if p.State == Dead {
			p.State = Known
		}
		m.seek(p, now)
	case p.State == Suspect:
		p.State = Alive
		m.tell(Changed, p, "it refuted the suspicion")
	}
	m.pull(p, now)
}

// pull asks p for its descriptor if the one there is was replaced.
func (m *Machine) pull(p *peer, now int64) {
	if p.lane != 0 && p.digest != p.have && now-p.pulled > sec/2 {
		p.pulled = now
		m.send(p, Pull{})
	}
}

// suspected begins a suspicion. Its subject is told at once, so that it can refute.
func (m *Machine) suspected(p *peer, from id.Node, now int64) {
	most := m.shortest() * suspectMost
	if m.gossip.n < 3 { // nobody else could confirm
		most = m.shortest()
	}
	p.suspect = suspicion{now, now + most, []id.Node{from}}
	if p.up() && p.State != Suspect {
		p.State = Suspect
		m.tell(Changed, p, "suspected by "+from.Short())
	}
	m.poke(p, now)
}

// confirm notes that another node has noticed too.
func (m *Machine) confirm(p *peer, from id.Node) {
	if len(p.suspect.from) == 1 && !slices.Contains(p.suspect.from, from) {
		p.suspect.from = append(p.suspect.from, from)
		p.suspect.until = min(p.suspect.until, p.suspect.since+m.shortest())
		m.spread(p)
	}
}

// poke tells p what is said of it. Whatever comes back shows that it lives.
func (m *Machine) poke(p *peer, now int64) {
	if now-p.poked < pokeEvery {
		return
	}
	p.poked = now
	m.send(p, Gossip{Claims: []Claim{p.claim()}})
}

// judge ends a suspicion when time is up, unless p was heard meanwhile: then it lives and has yet to refute.
func (m *Machine) judge(p *peer, now int64) {
	if p.Said == Dead && p.up() {
		m.poke(p, now)
	}
	if p.Said != Suspect {
		return
	}
	m.poke(p, now)
	if now < p.suspect.until {
		return
	}
	if p.heard > p.suspect.since && (p.lane != 0 || now-p.heard < probeEvery) { // it may be between two lanes
		p.suspect.since, p.suspect.until = now, now+m.shortest()
		return
	}
	p.Said = Dead
	m.spread(p)
	m.verdict(p, Dead, fmt.Sprintf("suspected by %s for %d ms", p.suspect.by().Short(), (now-p.suspect.since)/ms), now)
}

// verdict has p for dead or gone.
func (m *Machine) verdict(p *peer, s State, why string, now int64) {
	if p.up() {
		m.down(p, s, why, now)
		return
	}
	p.State, p.since = s, now
}

// doubt begins a suspicion of this node's own.
func (m *Machine) doubt(p *peer, now int64) {
	if p.Said == Alive || p.Said == Suspect {
		m.claim(Claim{ID: p.ID, Epoch: p.Epoch, Inc: p.inc, State: Suspect, From: m.self.ID}, nil, now)
	}
}

// vouch has a node that a lane was just agreed with for alive, and tells the others, if that is news.
func (m *Machine) vouch(p *peer, d Desc, now int64) {
	switch {
	case p.Said == 0, d.Inc > p.inc:
		p.inc, p.Said, p.suspect = d.Inc, Alive, suspicion{}
		p.digest = p.have
		if p.State == Suspect {
			p.State = Alive
			m.tell(Changed, p, "it refuted the suspicion")
		}
		m.spread(p)
	case p.Said != Alive:
		m.poke(p, now)
	}
}
