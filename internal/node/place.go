package node

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	cpuName = wire.CPUName

	maxErrands  = 1 << 20     // errands that wait on this node; more are refused
	maxTries    = 4           // nodes that are asked to take one task
	perLevel    = time.Second // that long a task waits until it counts as one of the next higher priority
	ownGrowth   = 500 * time.Millisecond
	maxOwnProcs = 128 // processes with one task each at a time
)

// refused marks the errors after which a task may be placed elsewhere: it certainly did not arrive.
const refused = "node: refused"

// errand is a task or actor on its way to a process of this node, or running there.
type errand struct {
	spec  wire.Spec
	raw   []byte      // spec, encoded
	from  id.Node     // who sent it, and knows its job
	need  []amount    // held from the queue on until it has ended
	pool  *pool       // of this
	group *group      // it is the reservation of a placement group, and no task
	asked *wire.Frame // the KPlace to answer; nil for stolen tasks and once answered
	held  bool
	since time.Time // on this node
	pid   int       // of the process that runs it
	proc  *process  // that one
	away  id.Node   // where it was sent, while that has not answered
	// cancelled says that nobody wants it any more: it is passed over when its turn comes.
	cancelled bool
	reason    time.Duration // its driver is told why once it has waited that long; 0: it was not told yet
	turn      time.Duration // who has the higher one comes first
}

// amount is a quantity of a named resource in millionths, so that sums come out even.
type amount struct {
	name  string
	micro int64
}

func micro(v float64) int64 { return int64(math.Round(v * 1e6)) }

// placement is what this node has, and who waits for it. All of it is guarded by Node.mu.
type placement struct {
	pool                       // of the node
	milli  int64               // CPUs of what was placed and runs here: a measure of load
	shapes map[string]*shape   // what waits for resources
	idle   time.Time           // CPUs are idle since then while something waits; zero: they are not
	lent   map[*pool]int64     // one errand may start on so much CPU that is held, see overLocked
	wait   map[attempt]*errand // tasks that were placed and are not in a process yet
	passed int                 // errands that were cancelled since they were last removed
	sent   map[id.Node]int64
	spread map[id.Node]uint64 // how many tasks that ask to be spread went to each node

	cut []*errand // what only a node can take that was not reached

	own      []*errand // OwnProcess tasks that wait for a process
	ownBusy  int       // processes with such a task
	ownLimit int       // how many there may be; grows while none ends, so that nested ones come through
	ownMoved time.Time // when one last ended or the limit grew
}

func (pl *placement) init(cfg Config) {
	pl.total, pl.used, pl.sent, pl.spread = map[string]int64{cpuName: micro(cfg.CPUs)}, map[string]int64{}, map[id.Node]int64{}, map[id.Node]uint64{}
	pl.shapes, pl.wait = map[string]*shape{}, map[attempt]*errand{}
	for k, v := range cfg.Resources {
		pl.total[k] = micro(v)
	}
	if _, said := cfg.Resources[wire.Memory]; !said {
		pl.total[wire.Memory] = micro(float64(taskMemory(cfg)))
	}
	pl.ownLimit = max(1, int(math.Ceil(cfg.CPUs)))
}

// needs lists what a specification reserves. What could run in any process is bounded by the machine's CPU slots alone.
func needs(s *wire.Spec) []amount {
	var l []amount
	if s.CPU > 0 && (s.Placed() || s.Kind != wire.KindTask) {
		l = append(l, amount{cpuName, int64(s.CPU) * 1000})
	}
	for _, k := range slices.Sorted(maps.Keys(s.Resources)) {
		if m := micro(s.Resources[k]); m > 0 {
			l = append(l, amount{k, m})
		}
	}
	return l
}

// placeFrame takes a request to place a task: from a process, to choose a node; from a node that chose this
// one, to run it here.
func (n *Node) placeFrame(f *wire.Frame) error {
	raw := bytes.Clone(f.Body)
	spec, err := wire.ParseSpec(raw)
	if err != nil {
		return err
	}
	e := &errand{spec: spec, raw: raw, from: f.From.Node, need: needs(&spec), asked: f.Head()}
	if f.From.Proc != 0 {
		n.placeErrand(e, nil, nil)
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	here := n.hereLocked()
	if n.draining || !here.has(&spec, here.resources) {
		return n.refusal("node: node %s is draining, or has not what the task needs any more", n.id.Short())
	}
	if why := n.acceptLocked(e); why != nil { // not as it is: a nil of its type is no nil error
		return why
	}
	return nil
}

func (n *Node) refusal(format string, args ...any) *wire.ErrorRecord {
	return &wire.ErrorRecord{Class: wire.ErrorUnavailable, Node: n.id, Text: fmt.Sprintf(format, args...), Known: []string{refused}}
}

// placeErrand chooses a node for a task of this node's process, and sends it there unless it is this one. The
// nodes tried did not take it; last is what became of the last try.
func (n *Node) placeErrand(e *errand, tried []id.Node, last error) {
	n.mu.Lock()
	cs := n.candidatesLocked(tried)
	to, why := choose(&e.spec, cs, rand.IntN)
	if why != nil && len(tried) > 0 {
		if n.awaitReachLocked(e, last) {
			n.mu.Unlock()
			return
		}
		why = n.refusal("node: placing %s: no other node fits than the %d asked: %v", e.spec.Func, len(tried), last)
	}
	if why == nil && e.spec.Spread {
		n.place.spread[to] = spreadTo(cs, to)
	}
	if why == nil && to == n.id {
		why = n.acceptLocked(e)
	}
	if why != nil || to == n.id {
		n.mu.Unlock()
		if why != nil {
			n.reply(e.asked, nil, why)
		}
		return
	}
	n.place.sent[to] += int64(max(1, e.spec.CPU))
	e.away = to
	n.place.remember(e)
	n.mu.Unlock()
	n.events.Add(trace.Event{Layer: "place", Kind: "sent", Peer: string(to), Task: e.spec.Task.String()})
	n.request(id.Addr{Node: to}, wire.KPlace, e.raw, func(body []byte, err error) {
		n.mu.Lock()
		if n.place.sent[to] -= int64(max(1, e.spec.CPU)); n.place.sent[to] <= 0 {
			delete(n.place.sent, to)
		}
		n.place.forget(e)
		e.away = ""
		cancelled := e.cancelled
		n.mu.Unlock()
		if err != nil && !cancelled && len(tried) < maxTries && slices.Contains(asRecord(err, wire.ErrorUnavailable).Known, refused) {
			n.placeErrand(e, append(tried, to), err)
			return
		}
		n.reply(e.asked, body, err)
	})
}

// hereLocked is this node as a candidate.
func (n *Node) hereLocked() candidate {
	c := candidate{id: n.id, here: true, labels: n.cfg.Labels, spread: n.place.spread[n.id], resources: map[string]float64{cpuName: n.cfg.CPUs}, available: map[string]float64{}}
	for k, v := range n.place.total {
		c.resources[k] = float64(v) / 1e6
		c.available[k] = float64(v-n.place.used[k]) / 1e6
	}
	total, free := n.arena.CPUs()
	busy := max(int64(total-free), n.place.milli, n.place.used[cpuName]/1000)
	c.available[cpuName] = float64(max(0, int64(total)-busy)) / 1000
	c.load = float64(busy) / float64(max(1, total))
	return c
}

func (n *Node) candidatesLocked(but []id.Node) []candidate {
	cs := make([]candidate, 0, len(n.members)+1)
	if !n.draining {
		cs = append(cs, n.hereLocked())
	}
	for name, m := range n.members {
		if m.desc.Draining || slices.Contains(but, name) {
			continue
		}
		cpus := max(m.desc.Resources[cpuName], 1e-3)
		cs = append(cs, candidate{id: name, resources: m.desc.Resources, available: m.load.Available,
			labels: m.desc.Labels, spread: n.place.spread[name],
			load: m.load.Load + float64(n.place.sent[name])/1000/cpus})
	}
	return cs
}

// acceptLocked runs a task here, now or when its resources are free.
func (n *Node) acceptLocked(e *errand) *wire.ErrorRecord {
	if n.place.waiting() >= maxErrands {
		return n.refusal("node: %d tasks wait on node %s already", maxErrands, n.id.Short())
	}
	if !e.spec.Group.IsZero() {
		b, why := n.bundleLocked(&e.spec, e.need)
		if why != nil {
			return why
		}
		e.pool = b
	}
	n.place.remember(e)
	n.queueLocked(e)
	return nil
}

// queueLocked starts an errand as soon as what it needs is there.
func (n *Node) queueLocked(e *errand) {
	if e.pool == nil {
		e.pool = &n.place.pool
	}
	e.since = time.Now()
	e.turn = time.Duration(e.spec.Priority)*perLevel - e.since.Sub(n.started)
	n.place.enqueue(e)
	n.advanceLocked()
}

// releaseAllLocked gives back what the errands of a process that ended held.
func (n *Node) releaseAllLocked(p *process) {
	for _, e := range p.errands {
		n.releaseLocked(e)
	}
	clear(p.errands)
}

// doneFrame takes the news that placed tasks or actors have ended.
func (n *Node) doneFrame(p *process, f *wire.Frame) error {
	var d wire.Done
	if err := wire.Unmarshal(f.Body, &d); err != nil {
		return err
	}
	if p == nil {
		return fmt.Errorf("node: only processes of the node report to it")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range d.Tasks {
		if e := p.errands[t]; e != nil {
			delete(p.errands, t)
			n.releaseLocked(e)
			if p.worker != nil {
				n.workerDoneLocked(p.worker)
			}
		}
	}
	n.advanceLocked()
	return nil
}

// failLocked ends an errand that never reached a process.
func (n *Node) failLocked(e *errand, why *wire.ErrorRecord) {
	n.releaseLocked(e)
	if e.group != nil { // removed with what has happened to its owner
		return
	}
	if e.asked != nil {
		n.reply(e.asked, nil, why)
		e.asked = nil
		return
	}
	w := *why
	w.Func = e.spec.Func
	for i := range e.spec.Count() {
		r := wire.Result{Task: e.spec.Task.Plus(uint64(i)), Attempt: e.spec.Attempt, By: n.self(), Err: &w}
		n.tell(e.spec.Owner, wire.KResult, wire.Marshal(&r))
	}
}

// turnAwayLocked ends an errand that a closing node does not start: who asked for it may place it elsewhere,
// and the owner of a stolen task hears of this node's end.
func (n *Node) turnAwayLocked(e *errand) {
	if e.asked != nil {
		n.failLocked(e, n.refusal("node: node %s is closing", n.id.Short()))
		return
	}
	n.releaseLocked(e)
}

// dropOrphansLocked forgets waiting errands whose owner is dead.
func (n *Node) dropOrphansLocked(dead []id.Addr) {
	orphan := func(e *errand) bool {
		o := e.spec.Owner
		if !slices.Contains(dead, o) && !slices.Contains(dead, id.Addr{Node: o.Node}) {
			return false
		}
		n.releaseLocked(e)
		return true
	}
	n.dropWaitingLocked(orphan)
	n.removeGroupsLocked(func(g *group) bool {
		return slices.Contains(dead, g.owner) || slices.Contains(dead, id.Addr{Node: g.owner.Node})
	}, "the process that made it has ended")
	n.advanceLocked()
}

// dropWaitingLocked forgets errands that wait anywhere on this node.
func (n *Node) dropWaitingLocked(drop func(*errand) bool) {
	n.place.drop(drop)
	n.place.own = slices.DeleteFunc(n.place.own, drop)
	n.place.cut = slices.DeleteFunc(n.place.cut, drop)
	for _, j := range n.jobs {
		j.waiting = slices.DeleteFunc(j.waiting, drop)
	}
	for _, w := range n.workers {
		for _, e := range w.waiting {
			e.cancelled = e.cancelled || drop(e) // kept: a worker that was started for it alone is done with it when it attaches
		}
	}
}
