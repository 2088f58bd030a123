package member

import (
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// Constants of probing.
const (
	probeEvery = 400 * ms
	pingFor    = 200 * ms // then others are asked to ping
	pingVia    = 3
	worstScore = 8       // a node that does poorly itself probes so many times slower, and one more
	maxRelays  = 1 << 10 // pings for others under way
	relayFor   = 2 * sec
	graceFor   = 3 * sec       // a node that no lane has reached yet is not probed
	standsFor  = 3 * TickEvery // ticks further apart mean that this node stood still, not its peers
)

// probe is the probe under way, and how well this node itself does (Lifeguard's health score).
type probe struct {
	target  id.Node // "": none
	epoch   uint64
	seq     uint64
	sent    int64
	askAt   int64
	until   int64
	asked   bool
	helpers []id.Node // asked to ping it, and silent since
	next    int64
	order   []id.Node // the rest of this round
	score   int
	last    uint64 // sequence number
	relays  map[uint64]relay
}

// relay is a ping on behalf of another node.
type relay struct {
	asker id.Node
	seq   uint64
	at    int64
}

func (b *probe) worse(by int) { b.score = max(0, min(b.score+by, worstScore)) }

// probing goes on with the probe under way or begins the next one.
func (m *Machine) probing(now int64) {
	b := &m.probe
	if b.target == "" {
		if now >= b.next {
			m.probeNext(now)
		}
		return
	}
	p := m.peers[b.target]
	switch {
	case p == nil || !p.counts() || p.Epoch != b.epoch:
		b.target = ""
	case p.lane != 0 && p.heard > b.sent: // any sign of life is an answer
		b.target = ""
		b.worse(-1)
	case !b.asked && now >= b.askAt:
		m.probeVia(p, now)
	case now >= b.until:
		b.target = ""
		b.worse(m.blame())
		m.doubt(p, now)
	}
}

// probeNext pings the next member of this round that was not heard lately.
func (m *Machine) probeNext(now int64) {
	b := &m.probe
	every := probeEvery * int64(b.score+1)
	b.next = now + every
	for range len(m.ids) + 1 {
		if len(b.order) == 0 && !m.shuffle() {
			return
		}
		p := m.peers[b.order[len(b.order)-1]]
		b.order = b.order[:len(b.order)-1]
		if p == nil || !p.counts() || p.lane != 0 && now-p.heard < probeEvery/2 || p.State == Known && now-p.lost < graceFor {
			continue
		}
		b.last++
		b.target, b.epoch, b.seq = p.ID, p.Epoch, b.last
		b.sent, b.askAt, b.until, b.asked, b.helpers = now, now+pingFor, now+every, false, b.helpers[:0]
		if p.lane == 0 {
			m.probeVia(p, now)
			return
		}
		m.send(p, Ping{b.seq, m.news()})
		if p.Said == Suspect {
			m.poke(p, now)
		}
		return
	}
}

// shuffle draws the order of the next round.
func (m *Machine) shuffle() bool {
	l := m.probe.order[:0]
	for _, n := range m.ids {
		if m.peers[n].counts() {
			i := m.gossip.random(len(l) + 1)
			l = append(l, n)
			l[len(l)-1], l[i] = l[i], n
		}
	}
	m.probe.order = l
	return len(l) > 0
}

// probeVia asks others to ping p.
func (m *Machine) probeVia(p *peer, now int64) {
	b := &m.probe
	b.asked = true
	for _, q := range m.chosen(pingVia, p.ID) {
		b.helpers = append(b.helpers, q.ID)
		m.send(q, PingReq{b.seq, p.ID, p.Epoch, m.news()})
	}
	b.until = max(b.until, now+pingFor)
}

// pinged answers.
func (m *Machine) pinged(p *peer, seq uint64) { m.send(p, Ack{seq, m.news()}) }

// askedToPing pings the target for p. The Nack shows p that at least its way to here works.
func (m *Machine) askedToPing(p *peer, e PingReq, now int64) {
	m.send(p, Nack{e.Seq})
	t := m.peers[e.Target]
	b := &m.probe
	if t == nil || t.lane == 0 || t.Epoch != e.Epoch || len(b.relays) >= maxRelays {
		return
	}
	if b.relays == nil {
		b.relays = map[uint64]relay{}
	}
	b.last++
	b.relays[b.last] = relay{p.ID, e.Seq, now}
	m.send(t, Ping{b.last, Gossip{}})
}

// acked takes an answer: of the target, of a target that another node asked for, or of a relay.
func (m *Machine) acked(p *peer, seq uint64, now int64) {
	b := &m.probe
	if r, ok := b.relays[seq]; ok {
		delete(b.relays, seq)
		if q := m.peers[r.asker]; q != nil {
			m.send(q, Ack{r.seq, Gossip{}})
		}
		return
	}
	if b.target != "" && seq == b.seq {
		b.target = ""
		b.worse(-1)
	}
}

// nacked notes that a helper has heard.
func (m *Machine) nacked(p *peer, seq uint64) {
	if b := &m.probe; b.target != "" && seq == b.seq {
		b.helpers = slices.DeleteFunc(b.helpers, func(n id.Node) bool { return n == p.ID })
	}
}

// blame is how much of a failed probe is this node's own fault: one for each helper that is silent though nobody doubts
// that it lives. Without helpers it is its own.
func (m *Machine) blame() (by int) {
	b := &m.probe
	if !b.asked {
		return 1
	}
	for _, n := range b.helpers {
		if q := m.peers[n]; q != nil && q.Said == Alive && q.lane != 0 {
			by++
		}
	}
	return by
}

// stood moves what waits for others by the time in which this node itself did not run: when it runs again, what
// they sent meanwhile is still to be read.
func (m *Machine) stood(by int64) {
	b := &m.probe
	b.sent, b.askAt, b.until = b.sent+by, b.askAt+by, b.until+by
	for _, n := range m.ids {
		p := m.peers[n]
		for _, at := range [...]*int64{&p.heard, &p.lost, &p.suspect.since} {
			if *at <= m.lastTick {
				*at += by
			}
		}
		p.suspect.until += by
	}
}

// sweep forgets relays that nobody answered.
func (m *Machine) sweep(now int64) {
	for seq, r := range m.probe.relays {
		if now-r.at > relayFor {
			delete(m.probe.relays, seq)
		}
	}
}
