package member

import (
	"cmp"
	"math"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// Constants of the gossip.
const (
	gossipTo   = 3 // peers that news is sent to, as soon as there is some
	chatEvery  = TickEvery / 2
	pullEvery  = 5 * sec // a Sum to one peer
	sumsAgain  = 4       // Sums to one that was away: what it refutes shall reach both sides
	sumEvery   = sec
	mostClaims = 32 // in one message that is not a Sync
	mostLoads  = 16
	retransmit = 4 // times log10 of the cluster's size
)

// gossip is what the machine has to spread and chance to do it by.
type gossip struct {
	seed     uint64
	n        int // members by the gossip, this node among them; counted at each tick
	claimFor int // how often this node's own claim is still to be sent
	loadFor  int
	pending  bool // there may be something to tell
	nextPull int64
	told     int64 // when news was sent last
}

// retransmit is how often each node sends one piece of news.
func (g *gossip) retransmit() int {
	g.pending = true
	return retransmit * int(math.Ceil(math.Log10(float64(g.n+2))))
}

// random draws below n (splitmix64).
func (g *gossip) random(n int) int {
	g.seed += 0x9e3779b97f4a7c15
	z := g.seed
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}

// hashText is FNV-1a.
func hashText(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// digest names what a descriptor says, but for its load and incarnation.
func digest(d Desc) uint64 {
	d.Inc, d.Seq, d.Load = 0, 0, nil
	return hashText(14695981039346656037, string(AppendDesc(nil, d)))
}

func (m *Machine) desc() Desc {
	return Desc{m.inc, m.loadSeq, m.self.Addrs, m.self.Meta, m.self.Load}
}

// describe announces a changed descriptor: those who have another pull it.
func (m *Machine) describe(e Describe, now int64) {
	m.self.Addrs, m.self.Meta = e.Addrs, e.Meta
	if d := digest(m.desc()); d != m.digest {
		m.digest = d
		m.renew()
		m.chat(now)
	}
}

// renew raises this node's own claim over all there are.
func (m *Machine) renew() {
	m.inc++
	m.gossip.claimFor = m.gossip.retransmit()
}

func (m *Machine) ownClaim() Claim {
	return Claim{ID: m.self.ID, Epoch: m.self.Epoch, Inc: m.inc, State: Alive, Digest: m.digest, Addrs: claimAddrs(m.self.Addrs)}
}

func (p *peer) claim() Claim {
	c := Claim{ID: p.ID, Epoch: p.Epoch, Inc: p.inc, State: p.Said, From: p.suspect.by()}
	if c.State == Alive {
		c.From, c.Digest, c.Addrs = "", p.digest, claimAddrs(p.Addrs)
	}
	return c
}

// claimAddrs are as many addresses as a claim should carry: enough to be dialed; the descriptor has all.
func claimAddrs(l []string) []string { return l[:min(len(l), 8)] }

// spread has p's claim told by this node too.
func (m *Machine) spread(p *peer) { p.claimFor = m.gossip.retransmit() }

// news is what to tell next, what was told least first.
func (m *Machine) news() (g Gossip) {
	if !m.gossip.pending {
		return g
	}
	var claims, loads []*peer
	for _, n := range m.ids {
		p := m.peers[n]
		if p.claimFor > 0 && p.Said != 0 {
			claims = append(claims, p)
		}
		if p.loadFor > 0 {
			loads = append(loads, p)
		}
	}
	m.gossip.pending = len(claims)+len(loads)+m.gossip.claimFor+m.gossip.loadFor > 0
	slices.SortStableFunc(claims, func(a, b *peer) int { return cmp.Compare(b.claimFor, a.claimFor) })
	slices.SortStableFunc(loads, func(a, b *peer) int { return cmp.Compare(b.loadFor, a.loadFor) })
	if m.gossip.claimFor > 0 {
		m.gossip.claimFor--
		g.Claims = append(g.Claims, m.ownClaim())
	}
	if m.gossip.loadFor > 0 {
		m.gossip.loadFor--
		g.Loads = append(g.Loads, Load{m.self.ID, m.self.Epoch, m.loadSeq, m.self.Load})
	}
	for _, p := range claims[:min(len(claims), mostClaims)] {
		p.claimFor--
		g.Claims = append(g.Claims, p.claim())
	}
	for _, p := range loads[:min(len(loads), mostLoads)] {
		p.loadFor--
		g.Loads = append(g.Loads, Load{p.ID, p.Epoch, p.loadSeq, p.Load})
	}
	return g
}

// chosen draws up to n different members that there are lanes to.
func (m *Machine) chosen(n int, but id.Node) (l []*peer) {
	var all []*peer
	for _, x := range m.ids {
		if p := m.peers[x]; p.lane != 0 && p.ID != but {
			all = append(all, p)
		}
	}
	for range min(n, len(all)) {
		i := m.gossip.random(len(all))
		l = append(l, all[i])
		all[i] = all[len(all)-1]
		all = all[:len(all)-1]
	}
	return l
}

// chat spreads news, and now and then compares views with a peer.
func (m *Machine) chat(now int64) {
	if m.left {
		return
	}
	if m.gossip.pending && now-m.gossip.told >= chatEvery {
		m.gossip.told = now
		for _, p := range m.chosen(gossipTo, "") {
			if g := m.news(); len(g.Claims)+len(g.Loads) > 0 {
				m.send(p, g)
			}
		}
	}
	if now >= m.gossip.nextPull {
		m.gossip.nextPull = now + pullEvery
		for _, p := range m.chosen(1, "") {
			m.send(p, Sum{m.sum()})
		}
	}
}

// sum names the members this node knows of, with their descriptors.
func (m *Machine) sum() uint64 {
	mix := func(n id.Node, epoch, digest uint64) uint64 {
		return hashText(hashText(epoch*1099511628211^digest, string(n)), "sum")
	}
	h := mix(m.self.ID, m.self.Epoch, m.digest)
	for _, n := range m.ids {
		if p := m.peers[n]; p.counts() {
			h ^= mix(n, p.Epoch, p.digest)
		}
	}
	return h
}

// meet compares views with a node that was not there before: now, and some more times if it had been away.
func (m *Machine) meet(p *peer, now int64) {
	if m.Decides(p.ID) {
		m.sync(p, true)
	}
	p.sums, p.nextSum = sumsAgain, now+sumEvery
}

// sync sends the whole view.
func (m *Machine) sync(p *peer, reply bool) {
	s := Sync{Gossip: Gossip{Claims: []Claim{m.ownClaim()}}}
	if m.loadSeq > 0 {
		s.Loads = append(s.Loads, Load{m.self.ID, m.self.Epoch, m.loadSeq, m.self.Load})
	}
	for _, n := range m.ids {
		q := m.peers[n]
		if q.Said == 0 {
			continue
		}
		if len(s.Claims) == maxClaims {
			m.send(p, s)
			s = Sync{}
		}
		s.Claims = append(s.Claims, q.claim())
		if q.loadSeq > 0 && q.up() {
			s.Loads = append(s.Loads, Load{q.ID, q.Epoch, q.loadSeq, q.Load})
		}
	}
	s.Reply = reply
	m.send(p, s)
}

// merge takes news from p. What a whole view says of the dead is a suspicion: its sender may have been cut off.
func (m *Machine) merge(p *peer, g Gossip, whole bool, now int64) {
	for _, c := range g.Claims {
		if whole && c.State == Dead {
			c.State, c.From = Suspect, p.ID
		}
		m.claim(c, p, now)
	}
	for _, l := range g.Loads {
		q := m.peers[l.ID]
		if q == nil || l.Epoch != q.Epoch || l.Seq <= q.loadSeq {
			continue
		}
		q.loadSeq, q.Load, q.loadFor = l.Seq, l.Load, m.gossip.retransmit()
		if q.up() {
			m.tell(Changed, q, "")
		}
	}
}
