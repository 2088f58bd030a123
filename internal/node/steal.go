package node

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched/steal"
)

const (
	statQueued    = 0                     // the word of a client's statistics that counts its queued tasks
	takeBytes     = 512 << 10             // of specifications in one grant, but for the last: with envelopes a frame
	lookPause     = time.Millisecond      // the least time between two looks at the queues
	settle        = 10 * time.Millisecond // stolen tasks need to reach a queue before this node may look idle
	maxStealQueue = 1 << 14               // messages that wait for the machine; more are dropped, which it copes with
)

// stealer is the shell around the stealing machine. Events are queued, and whoever finds the machine at rest
// runs it until the queue is empty, so that its actions may bring events without a lock being held.
type stealer struct {
	n       *Node
	machine *steal.Machine // used by the goroutine that set running

	looked atomic.Int64 // when the queues were last looked at, Unix nanoseconds
	calm   atomic.Int64 // not idle before then

	mu      sync.Mutex
	running bool
	stopped bool
	queue   []steal.Event
	peers   map[id.Node]peerEpoch
	ups     uint64             // counts the comings of peers
	origin  map[attempt]origin // of tasks in the machine's care
	seq     uint64             // of the last GRANT
}

// peerEpoch is a peer's epoch, and the number that stands for it in the machine. A peer that only could not be
// reached comes back under its old epoch, while the machine fences what went down for good; so each coming has
// a number of its own, and messages are translated.
type peerEpoch struct{ real, up uint64 }

type attempt struct {
	task id.Task
	n    uint32
}

type origin struct {
	from  id.Addr // the process that had it queued
	owner id.Addr
}

func newStealer(n *Node) *stealer {
	return &stealer{n: n, peers: map[id.Node]peerEpoch{}, origin: map[attempt]origin{}}
}

// begin makes the machine, once the node has its name and epoch.
func (s *stealer) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machine = steal.New(steal.Peer(s.n.id), s.n.epoch)
}

// stop makes the stealer take no more events.
func (s *stealer) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped, s.queue = true, nil
}

// post gives the machine an event. No locks are held by the caller.
func (s *stealer) post(ev steal.Event) {
	s.mu.Lock()
	if _, ok := ev.(steal.Recv); s.stopped || s.machine == nil || ok && len(s.queue) >= maxStealQueue {
		s.mu.Unlock()
		return
	}
	s.queue = append(s.queue, ev)
	if s.running {
		s.mu.Unlock()
		return
	}
	s.running = true
	for len(s.queue) > 0 {
		ev := s.queue[0]
		s.queue = s.queue[1:]
		if r, ok := ev.(steal.Recv); ok && r.Msg.Kind == steal.Grant {
			s.seq = r.Msg.Seq
		}
		s.mu.Unlock()
		for _, a := range s.machine.Step(ev, time.Now().UnixNano()) {
			s.act(a)
		}
		s.mu.Lock()
	}
	s.queue, s.running = nil, false
	s.mu.Unlock()
}

// act carries out one action of the machine.
func (s *stealer) act(a steal.Action) {
	switch a := a.(type) {
	case steal.Send:
		s.send(a)
	case steal.TakeTasks:
		s.take(a)
	case steal.Requeue:
		s.requeue(a.Tasks)
	case steal.RunTasks:
		s.run(id.Node(a.From), a.Tasks)
	case steal.Moved:
		s.moved(id.Node(a.Peer), a.Tasks)
	case steal.Denied:
		s.n.stats.stealsDenied.Add(1)
	}
}

func (s *stealer) send(a steal.Send) {
	to := id.Node(a.To)
	switch a.Msg.Kind {
	case steal.Steal:
		s.n.stats.stealsSent.Add(1)
		s.n.event("steal", "STEAL", string(to), int64(a.Msg.Seq), "sent")
	case steal.Grant:
		s.n.event("steal", "GRANT", string(to), int64(a.Msg.Seq), "sent")
	}
	s.mu.Lock()
	a.Msg.To = s.peers[to].real
	s.mu.Unlock()
	s.n.tell(id.Addr{Node: to}, wire.KSteal, a.Msg.Append(nil))
}

// receive takes another node's message; body lies in the lane's buffer.
func (s *stealer) receive(from id.Node, body []byte) {
	m, err := steal.Parse(bytes.Clone(body))
	if err != nil {
		s.n.log.Warn("node: steal", "node", from.Short(), "err", err)
		return
	}
	s.mu.Lock()
	e := s.peers[from]
	s.mu.Unlock()
	if m.Epoch != e.real {
		return // of a start of it that is over, or not heard of yet
	}
	m.Epoch = e.up
	if m.Kind == steal.Grant {
		s.n.event("steal", "GRANT", string(from), int64(m.Seq), "received")
	}
	s.post(steal.Recv{From: steal.Peer(from), Msg: m, Rand: rand.Uint64()})
}

// take asks the process with the longest queue for tasks for a thief.
func (s *stealer) take(a steal.TakeTasks) {
	p, queued := s.longest()
	if p == nil || s.n.isDraining() {
		s.post(steal.Taken{Peer: a.Peer, Seq: a.Seq})
		return
	}
	q := wire.Take{Max: min(a.Max, (queued+1)/2), Bytes: takeBytes}
	s.n.request(p.addr, wire.KTake, wire.Marshal(&q), func(body []byte, err error) {
		var b wire.Batch
		if err == nil {
			err = wire.Unmarshal(body, &b)
		}
		if err != nil { // the process has ended; its queue went with it
			s.n.log.Debug("node: steal: taking tasks", "pid", p.pid, "err", err)
		}
		s.post(steal.Taken{Peer: a.Peer, Seq: a.Seq, Tasks: s.taken(p.addr, id.Node(a.Peer), a.Free, b.Specs)})
	})
}

// taken notes where tasks came from, tells their owners where they go, and sends back what is bound to this
// node. Owners are told before the thief gets the grant: what the thief tells them then comes later.
func (s *stealer) taken(from id.Addr, thief id.Node, free uint32, specs [][]byte) []steal.Task {
	var tasks []steal.Task
	var back [][]byte
	var moves []wire.Spec
	for _, b := range specs {
		spec, err := wire.ParseSpec(b)
		if err != nil {
			s.n.log.Warn("node: steal: a process gave a bad specification", "from", from, "err", err)
			continue
		}
		if len(b) > takeBytes || !stealable(&spec, s.n.id, free) {
			back = append(back, b)
			continue
		}
		tasks, moves = append(tasks, b), append(moves, spec)
	}
	if back != nil {
		s.n.tell(from, wire.KRequeue, wire.Marshal(&wire.Batch{Specs: back}))
	}
	s.mu.Lock()
	for i := range moves {
		s.origin[attempt{moves[i].Task, moves[i].Attempt}] = origin{from, moves[i].Owner}
	}
	s.mu.Unlock()
	s.n.tellMoved(moves, id.Addr{Node: thief})
	return tasks
}

// stealable says whether a task may leave: those placed here and those too large for the thief stay.
func stealable(s *wire.Spec, here id.Node, free uint32) bool {
	placed := s.Placed()
	if s.Soft && s.OnNode != "" && s.OnNode != here { // it is not where it wished to be
		c := *s
		c.OnNode = ""
		placed = c.Placed()
	}
	return s.Kind == wire.KindTask && !placed && s.CPU <= free
}

// tellMoved tells owners where their tasks are, one message each.
func (n *Node) tellMoved(specs []wire.Spec, to id.Addr) {
	owners := map[id.Addr]*wire.Moved{}
	for i := range specs {
		m := owners[specs[i].Owner]
		if m == nil {
			m = &wire.Moved{To: to}
			owners[specs[i].Owner] = m
		}
		m.Add(&specs[i])
	}
	for o, m := range owners {
		n.tell(o, wire.KMoved, wire.Marshal(m))
	}
}

// requeue gives tasks back to the processes that had them. Those of one that has ended are made again by
// their owners, who hear of its end.
func (s *stealer) requeue(tasks []steal.Task) {
	batches := map[id.Addr][][]byte{}
	elsewhere := map[id.Addr][]wire.Spec{}
	for _, t := range tasks {
		spec, err := wire.ParseSpec(t)
		if err != nil {
			continue // parsed when it was taken
		}
		k := attempt{spec.Task, spec.Attempt}
		s.mu.Lock()
		o, ok := s.origin[k]
		delete(s.origin, k)
		s.mu.Unlock()
		if !ok {
			continue
		}
		batches[o.from] = append(batches[o.from], t)
		if o.from != o.owner {
			elsewhere[o.from] = append(elsewhere[o.from], spec)
		}
		s.n.events.Add(trace.Event{Layer: "steal", Kind: "requeue", Peer: o.from.String(), Task: spec.Task.String()})
	}
	for p, specs := range elsewhere {
		s.n.tellMoved(specs, p)
	}
	for p, b := range batches {
		for part := range slices.Chunk(b, wire.MaxList) {
			s.n.tell(p, wire.KRequeue, wire.Marshal(&wire.Batch{Specs: part}))
		}
	}
}

// run starts tasks that this node has stolen.
func (s *stealer) run(from id.Node, tasks []steal.Task) {
	s.mu.Lock()
	seq := s.seq
	s.mu.Unlock()
	s.n.stats.stealsGranted.Add(1)
	s.calm.Store(time.Now().Add(settle).UnixNano())
	s.n.stir()
	var errands []*errand
	for _, t := range tasks {
		spec, err := wire.ParseSpec(t)
		if err != nil {
			s.n.log.Warn("node: steal: a node granted a bad specification", "node", from.Short(), "err", err)
			continue
		}
		e := trace.Event{Layer: "steal", Kind: "stolen", Peer: string(from), Task: spec.Task.String(), N: int64(seq)}
		if n := spec.Count(); n > 1 {
			e.Text = fmt.Sprintf("%d tasks from this one on", n)
		}
		s.n.events.Add(e)
		errands = append(errands, &errand{spec: spec, raw: t, from: from})
	}
	n := 0
	for _, e := range errands {
		n += e.spec.Count()
	}
	s.n.stats.tasksIn.Add(uint64(n))
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	s.n.togetherLocked(func() {
		for _, e := range errands {
			s.n.startLocked(e)
		}
	})
}

// moved forgets tasks that a thief has confirmed.
func (s *stealer) moved(to id.Node, tasks []steal.Task) {
	for _, t := range tasks {
		spec, err := wire.ParseSpec(t)
		if err != nil {
			continue
		}
		s.n.stats.tasksOut.Add(uint64(spec.Count()))
		s.mu.Lock()
		delete(s.origin, attempt{spec.Task, spec.Attempt})
		s.mu.Unlock()
		s.n.events.Add(trace.Event{Layer: "steal", Kind: "moved", Peer: string(to), Task: spec.Task.String()})
	}
}

func (s *stealer) peerUp(p id.Node, epoch uint64) {
	s.mu.Lock()
	s.ups++
	e := peerEpoch{epoch, s.ups}
	s.peers[p] = e
	s.mu.Unlock()
	s.post(steal.PeerUp{Peer: steal.Peer(p), Epoch: e.up})
	s.relink()
}

func (s *stealer) peerDown(p id.Node) {
	s.mu.Lock()
	e, ok := s.peers[p]
	delete(s.peers, p)
	s.mu.Unlock()
	if !ok {
		return
	}
	s.post(steal.PeerDown{Peer: steal.Peer(p), Epoch: e.up, Rand: rand.Uint64()})
	s.relink()
}

// relink chooses the lifelines: of each Kademlia bucket the closest node.
func (s *stealer) relink() {
	own := sha256.Sum256([]byte(s.n.id))
	type near struct {
		peer id.Node
		dist [32]byte
	}
	var buckets [257]*near
	s.mu.Lock()
	peers := slices.Sorted(maps.Keys(s.peers))
	s.mu.Unlock()
	for _, p := range peers {
		d := sha256.Sum256([]byte(p))
		b := 256
		for i := range d {
			if d[i] ^= own[i]; d[i] != 0 && b == 256 {
				b = 8*i + bits.LeadingZeros8(d[i])
			}
		}
		if buckets[b] == nil || bytes.Compare(d[:], buckets[b].dist[:]) < 0 {
			buckets[b] = &near{p, d}
		}
	}
	var life []steal.Peer
	for _, b := range buckets {
		if b != nil {
			life = append(life, steal.Peer(b.peer))
		}
	}
	s.post(steal.Lifelines{Peers: life})
}
