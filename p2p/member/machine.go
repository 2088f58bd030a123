package member

import (
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

const (
	ms  = int64(1e6)
	sec = int64(1e9)
)

// Times, in nanoseconds. Those of the gossip are in probe.go and suspect.go.
const (
	TickEvery   = 100 * ms
	beatEvery   = 5 * sec  // on each lane that brought nothing for so long
	beatSpread  = sec      // which of its two sides beats is chance
	silentFor   = 12 * sec // a lane that brings nothing for so long is dialed anew
	renewFor    = 10 * sec // a member that has to prove itself anew has so long
	alone       = 10 * sec // a member that this node cannot reach for so long is down here, whatever the others say
	yieldFor    = sec      // the higher ID lets the lower one dial first
	yieldLost   = 300 * ms // the same after a lost lane
	retryEvery  = 250 * ms // dials to a member without a lane
	retryMost   = 4 * sec
	triesKnown  = 6         // failed dials until a node that only a hint named is forgotten
	rejoinEvery = sec       // one of the dead is dialed, in turn
	barredFor   = 60 * sec  // after a refused admission
	forgetAfter = 600 * sec // the dead and the left
	maxPeers    = 1 << 12   // in the view, all states
)

// Machine is one node's view of the cluster.
type Machine struct {
	self  Info
	peers map[id.Node]*peer
	ids   []id.Node // of peers, sorted: what is done to all is done in this order

	inc     uint32 // what this node claims of itself
	digest  uint64
	loadSeq uint64
	left    bool // it said Bye
	denied  map[id.Node]bool

	lastTick, nextRejoin int64
	turn                 int // whose turn the next rejoin is
	gossip               gossip
	probe                probe
	out                  []Action
}

type peer struct {
	Info
	met     uint64 // highest epoch of an accepted lane: lower ones are refused
	lane    uint64 // accepted and not lost
	last    uint64 // lost and not replaced
	bond    uint64 // what we share with it since it is up: the name of the lane that began it
	heard   int64  // when bytes came last, or the lane was accepted
	lost    int64  // when the last lane was, or it was first looked for
	since   int64  // in Dead and Left: when
	dialing bool
	next    int64 // when to dial, without a lane
	tries   int   // failed dials in a row
	beat    int64 // when to send the next one
	renewBy int64 // when the lane is to be replaced by one on which the peer has proved itself anew; 0: it need not be

	// what the gossip says; Said belongs to it
	inc      uint32
	digest   uint64 // of the newest Alive claim
	have     uint64 // of the descriptor that this node has
	pulled   int64  // when it was asked for last
	loadSeq  uint64
	suspect  suspicion
	poked    int64 // when it was told that it is suspected
	claimFor int   // how often the claim is still to be sent
	loadFor  int   // and the load
	sums     int   // how many more Sums it gets, a second apart
	nextSum  int64
}

func (p *peer) up() bool { return p.State == Alive || p.State == Suspect }

// counts says that the gossip has p for a member.
func (p *peer) counts() bool { return p.Said == Alive || p.Said == Suspect }

// New makes the view of a node that has met nobody.
func New(self id.Node, epoch uint64, addrs []string, meta []byte) *Machine {
	m := &Machine{
		self:   Info{ID: self, Epoch: epoch, Addrs: addrs, Meta: meta, State: Alive, Said: Alive},
		peers:  map[id.Node]*peer{},
		gossip: gossip{seed: hashText(epoch|1, string(self))},
	}
	m.digest = digest(m.desc())
	return m
}

// Self is what this node says of itself.
func (m *Machine) Self() Info { return m.self }

// Desc is what this node's hello says of it.
func (m *Machine) Desc() Desc { return m.desc() }

// Members are the nodes that are Alive or Suspect, this one not among them, sorted by ID.
func (m *Machine) Members() []Info { return m.infos((*peer).up) }

// Gone are the nodes that are Dead or Left and not forgotten.
func (m *Machine) Gone() []Info {
	return m.infos(func(p *peer) bool { return p.State == Dead || p.State == Left })
}

// Disputed are the nodes of which this node's own view and the gossip differ: members that it cannot reach, and
// those that it reaches though they are said to be dead.
func (m *Machine) Disputed() []Info {
	return m.infos(func(p *peer) bool { return p.up() != p.counts() })
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
	if p := m.peers[n]; p != nil && p.renewBy != 0 {
		return p.lane, p.bond // as good as lost
	} else if p != nil {
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
		if p := m.peers[e.ID]; p != nil && p.lane != 0 {
			p.heard = now
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
		m.describe(e, now)
	case Loaded:
		m.self.Load = e.Load
		m.loadSeq++
		m.gossip.loadFor = m.gossip.retransmit()
		m.chat(now)
	case Deny:
		m.deny(e.IDs, now)
	case Rekeyed:
		m.rekeyed(now)
	case Renew:
		if p := m.peers[e.ID]; p != nil && p.lane != 0 && p.renewBy == 0 {
			m.renewLane(p, now)
		}
	case Leave:
		m.leave()
	case Tick:
		m.tick(now)
	}
	return m.out
}

func (m *Machine) do(a Action) { m.out = append(m.out, a) }

func (m *Machine) tell(k Kind, p *peer, why string) { m.do(Tell{k, p.Info, why}) }

// send says something to p, if there is a lane.
func (m *Machine) send(p *peer, msg Message) {
	if p.lane != 0 {
		m.do(Send{p.ID, msg})
	}
}

// leave announces that this node goes, on every lane.
func (m *Machine) leave() {
	m.left = true
	for _, n := range m.ids {
		m.send(m.peers[n], Bye{})
	}
}

// add makes room for a node; nil when the view is full.
func (m *Machine) add(n id.Node, f Found) *peer {
	if len(m.ids) >= maxPeers || n == "" || len(n) > maxText {
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
	p.State, p.since, p.lane, p.last, p.bond, p.renewBy, p.tries, p.next = s, now, 0, 0, 0, 0, 0, now+rejoinEvery
	m.tell(Down, p, why)
}

// deny puts out who is on the list.
func (m *Machine) deny(l map[id.Node]bool, now int64) {
	m.denied = l
	for _, n := range m.ids {
		if p := m.peers[n]; l[n] {
			if p.up() {
				m.down(p, Dead, WhyDenied, now)
			}
			p.State, p.Said, p.suspect = Dead, 0, suspicion{}
			p.since = now
		}
	}
}

// Member is what the view says of n (the zero Info: nothing) and the lowest epoch it may come with.
func (m *Machine) Member(n id.Node) (i Info, fence uint64) {
	if p := m.peers[n]; p != nil {
		return p.Info, p.met
	}
	return Info{}, 0
}
