package member

import (
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

const (
	ms  = int64(1e6)
	sec = int64(1e9)
)

// Times, in nanoseconds.
const (
	TickEvery    = 100 * ms
	beatEvery    = 500 * ms
	suspectAfter = 2 * sec
	deadAfter    = 4 * sec
	stallAfter   = sec       // ticks so far apart mean that this node stood still, not its peers
	yieldFor     = sec       // the higher ID lets the lower one dial first
	yieldLost    = 300 * ms  // the same after a lost lane
	retryEvery   = 250 * ms  // dials to a member without a lane
	triesKnown   = 6         // failed dials until a node never met is forgotten
	rejoinFirst  = 2 * sec   // first dial to a dead node, then doubling
	rejoinMost   = 30 * sec  //
	barredFor    = 60 * sec  // after a refused admission
	forgetAfter  = 600 * sec // the dead and the left
	pullEvery    = 5 * sec   // the whole view to one peer in turn
	maxPeers     = 1 << 12   // in the view, all states
)

// Machine is one node's view of the cluster.
type Machine struct {
	self  Info
	peers map[id.Node]*peer
	ids   []id.Node // of peers, sorted: what is done to all is done in this order

	lastTick, nextBeat, nextPull int64
	turn                         int // whose turn the next pull is
	leaving                      bool
	out                          []Action
}

type peer struct {
	Info
	met     uint64 // highest epoch of an accepted lane: lower ones are refused
	lane    uint64 // accepted and not lost
	last    uint64 // lost and not replaced
	bond    uint64 // what we share with it since it is up: the name of the lane that began it
	heard   int64  // when bytes came last, or the lane was accepted
	since   int64  // in Dead and Left: when
	dialing bool
	next    int64 // when to dial, without a lane
	tries   int   // failed dials in a row
	beat    int64 // Now of its last beat
	beatAt  int64
}

func (p *peer) up() bool { return p.State == Alive || p.State == Suspect }

// New makes the view of a node that has met nobody.
func New(self id.Node, epoch uint64, addrs []string, meta []byte) *Machine {
	return &Machine{
		self:  Info{ID: self, Epoch: epoch, Addrs: addrs, Meta: meta, State: Alive},
		peers: map[id.Node]*peer{},
	}
}

// Self is what this node says of itself.
func (m *Machine) Self() Info { return m.self }

// Members are the nodes that are Alive or Suspect, this one not among them, sorted by ID.
func (m *Machine) Members() []Info { return m.infos((*peer).up) }

// Gone are the nodes that are Dead or Left and not forgotten.
func (m *Machine) Gone() []Info {
	return m.infos(func(p *peer) bool { return p.State == Dead || p.State == Left })
}

func (m *Machine) infos(want func(*peer) bool) (l []Info) {
	for _, n := range m.ids {
		if p := m.peers[n]; want(p) {
			l = append(l, p.Info)
		}
	}
	return l
}

// Greeting is what a hello to n says of the past: the lane lost, and the bond there is.
func (m *Machine) Greeting(n id.Node) (last, bond uint64) {
	if p := m.peers[n]; p != nil {
		return p.last, p.bond
	}
	return 0, 0
}

// Decides says whether this node decides which lane to n counts.
func (m *Machine) Decides(n id.Node) bool { return m.self.ID < n }

// Step applies an event. The actions are valid until the next Step.
func (m *Machine) Step(ev Event, now int64) []Action {
	m.out = m.out[:0]
	switch e := ev.(type) {
	case Learn:
		m.learn(e, now)
	case Offer:
		m.offer(e, now)
	case Lost:
		if p := m.peers[e.ID]; p != nil && p.lane == e.Lane {
			m.lost(p, now)
		}
	case Heard:
		if p := m.peers[e.ID]; p != nil && p.up() {
			m.hear(p, now)
		}
	case Dialed:
		if p := m.peers[e.ID]; p != nil {
			m.dialed(p, e, now)
		}
	case Recv:
		if p := m.peers[e.ID]; p != nil && p.lane == e.Lane {
			m.recv(p, e.Msg, now)
		}
	case Describe:
		m.self.Addrs, m.self.Meta = e.Addrs, e.Meta
		m.toAll(Update(e))
	case Leave:
		m.leaving = true
		m.toAll(Bye{})
	case Tick:
		m.tick(now)
	}
	return m.out
}

func (m *Machine) do(a Action) { m.out = append(m.out, a) }

func (m *Machine) tell(k Kind, p *peer, why string) { m.do(Tell{k, p.Info, why}) }

func (m *Machine) toAll(msg Message) {
	for _, n := range m.ids {
		if m.peers[n].lane != 0 {
			m.do(Send{n, msg})
		}
	}
}

// add makes room for a node; nil when the view is full.
func (m *Machine) add(n id.Node, f Found) *peer {
	if len(m.ids) >= maxPeers {
		return nil
	}
	p := &peer{Info: Info{ID: n, Found: f, State: Known}}
	m.peers[n] = p
	i, _ := slices.BinarySearch(m.ids, n)
	m.ids = slices.Insert(m.ids, i, n)
	return p
}

func (m *Machine) forget(n id.Node) {
	delete(m.peers, n)
	i, _ := slices.BinarySearch(m.ids, n)
	m.ids = slices.Delete(m.ids, i, i+1)
}

// down passes the verdict on p.
func (m *Machine) down(p *peer, s State, why string, now int64) {
	if p.lane != 0 {
		m.do(Cut{p.ID, p.lane, why})
	}
	p.State, p.since, p.lane, p.last, p.bond, p.tries, p.next = s, now, 0, 0, 0, 0, now+rejoinFirst
	m.tell(Down, p, why)
}

// Member is what the view says of n (the zero Info: nothing) and the lowest epoch it may come with.
func (m *Machine) Member(n id.Node) (i Info, fence uint64) {
	if p := m.peers[n]; p != nil {
		return p.Info, p.met
	}
	return Info{}, 0
}
