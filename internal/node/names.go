package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kadrehq/kadre/actor/registrar"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	namesBusy    = 50 * time.Millisecond  // between two looks at the machine that waits for something
	namesHolding = 250 * time.Millisecond // that has a lease to keep
	namesIdle    = time.Second
	firstMeeting = time.Second            // a new node waits so long to meet others before it gives names by itself
	joinMeeting  = 5 * time.Second        // the same where it was told whom to join
	diedWait     = 500 * time.Millisecond // for the names of a dead process to be free, before the news of its death
	partingWait  = 1500 * time.Millisecond
	endedPause   = 50 * time.Millisecond // before a name is claimed again whose holder's job has ended
)

// names is the shell around the machine that keeps who has which name.
type names struct {
	kick chan struct{} // wakes its goroutine
	met  chan struct{} // closed with the first word of another node

	mu   sync.Mutex // a leaf; what the machine wants is done without it
	m    *registrar.Machine
	once sync.Once // of met
	op   uint64
	asks map[uint64]func(registrar.Done)
	mine map[claimed]id.Addr // names that processes of this node have or ask for
}

type claimed struct {
	name  string // with its namespace
	actor id.Actor
}

// openNames makes the machine, once the node has its name and epoch.
func (n *Node) openNames() {
	n.names.kick, n.names.met = make(chan struct{}, 1), make(chan struct{})
	n.names.asks, n.names.mine = map[uint64]func(registrar.Done){}, map[claimed]id.Addr{}
	n.names.m = registrar.New(registrar.Member{Node: n.id, Epoch: n.epoch}, rand.Uint64(), bootNano())
}

// bootNano is a clock that goes on while the machine sleeps.
func bootNano() int64 { return int64(bootTicks()) * (1e9 / ticksPerSecond) }

// stepNames gives the machine an event and does what it wants.
func (n *Node) stepNames(f func(m *registrar.Machine, now int64) []registrar.Action) {
	t := &n.names
	t.mu.Lock()
	acts := f(t.m, bootNano())
	busy := t.m.Busy() || t.m.Holding()
	var told []func()
	for _, a := range acts {
		switch a := a.(type) {
		case registrar.Send: // a message refers to what the machine has, so that it is encoded under the lock
			to, b := id.Addr{Node: a.To.Node}, a.Msg.Append(nil)
			told = append(told, func() { n.tell(to, wire.KNames, b) })
		case registrar.Changed:
			told = append(told, func() {
				n.event("names", "registrars", "", int64(len(a.Config.Members)), fmt.Sprintf("%v: %s", a.Config.Conf, shortNames(nodesOf(&a.Config))))
			})
		case registrar.Done:
			if f := t.asks[a.Op]; f != nil {
				delete(t.asks, a.Op)
				told = append(told, func() { f(a) })
			}
		case registrar.End:
			k := claimed{a.Name, a.Actor}
			if at, ok := t.mine[k]; ok {
				delete(t.mine, k)
				told = append(told, func() { n.endNamed(at, a) })
			}
		}
	}
	t.mu.Unlock()
	for _, f := range told {
		f()
	}
	if busy {
		select {
		case t.kick <- struct{}{}:
		default:
		}
	}
}

// endNamed ends an actor that has lost its name.
func (n *Node) endNamed(at id.Addr, e registrar.End) {
	_, name, _ := strings.Cut(e.Name, "\x00")
	n.log.Warn("node: a named actor ends", "name", name, "actor", e.Actor, "why", e.Why)
	n.event("names", "end", at.String(), 0, name+": "+e.Why)
	n.tell(at, wire.KKill, wire.Marshal(&wire.Kill{Actor: e.Actor, Why: fmt.Sprintf("it lost its name %q: %s", name, e.Why)}))
}

// tendNames lets the machine's time pass.
func (n *Node) tendNames() {
	t := time.NewTimer(namesBusy)
	defer t.Stop()
	for {
		n.names.mu.Lock()
		busy, holding := n.names.m.Busy(), n.names.m.Holding()
		n.names.mu.Unlock()
		switch {
		case busy:
			t.Reset(namesBusy)
		case holding:
			t.Reset(namesHolding)
		case n.host != nil:
			t.Reset(namesIdle)
		default: // nothing happens by itself
			t.Stop()
		}
		select {
		case <-n.ctx.Done():
			return
		case <-n.names.kick: // it may be busy now; the timer is set anew
			select {
			case <-n.ctx.Done():
				return
			case <-time.After(namesBusy):
			}
		case <-t.C:
		}
		n.stepNames((*registrar.Machine).Tick)
	}
}

// namesFrame takes a message of another node's machine.
func (n *Node) namesFrame(f *wire.Frame) error {
	if f.From.Proc != 0 || f.From.Node == n.id {
		return fmt.Errorf("node: %v is no node, and speaks as one", f.From)
	}
	m, err := registrar.Parse(f.Body)
	if err != nil {
		return err
	}
	from := registrar.Member{Node: f.From.Node, Epoch: f.Epoch}
	n.stepNames(func(r *registrar.Machine, now int64) []registrar.Action { return r.Receive(now, from, m) })
	n.names.once.Do(func() { close(n.names.met) })
	return nil
}

// nameFrame takes a process's question about a name.
func (n *Node) nameFrame(p *process, f *wire.Frame) error {
	var q wire.NameQuery
	if err := wire.Unmarshal(f.Body, &q); err != nil {
		return err
	}
	if err := q.Check(); err != nil {
		return err
	}
	if p == nil || q.Op != wire.NameFind && q.Holder.At != p.addr {
		return fmt.Errorf("node: %v asks about a name of an actor that is not its own", f.From)
	}
	return n.later(f, func(ctx context.Context, _ *wire.Frame) ([]byte, error) {
		h, err := n.askName(ctx, p, &q)
		return wire.Marshal(&h), err
	})
}

func (n *Node) askName(ctx context.Context, p *process, q *wire.NameQuery) (h wire.Named, err error) {
	n.awaitMeeting(ctx)
	name := q.Namespace + "\x00" + q.Name
	actor := q.Holder.Actor
	switch q.Op {
	case wire.NameRelease:
		n.disown(claimed{name, actor})
		_, err = n.askRegistrars(ctx, q, func(m *registrar.Machine, now int64, op uint64) []registrar.Action {
			return m.Release(now, op, name, actor)
		})
		return h, err
	case wire.NameFind:
		if h, err = n.askRegistrars(ctx, q, func(m *registrar.Machine, now int64, op uint64) []registrar.Action { return m.Find(now, op, name) }); n.hasEnded(h.Job) {
			h = wire.Named{} // its actors are about to
		}
		return h, err
	}
	info := wire.Marshal(&q.Holder)
	for { // while the name is that of an actor that is about to end
		if !n.own(p, claimed{name, actor}) {
			return h, errors.New("node: the process that asks for a name has ended")
		}
		h, err = n.askRegistrars(ctx, q, func(m *registrar.Machine, now int64, op uint64) []registrar.Action {
			return m.Claim(now, op, name, actor, info)
		})
		if err == nil && h.Actor == actor {
			return h, nil
		}
		n.disown(claimed{name, actor})
		if err != nil || !n.hasEnded(h.Job) {
			return h, err
		}
		select {
		case <-ctx.Done():
			return h, ctx.Err()
		case <-n.ctx.Done():
			return h, n.ctx.Err()
		case <-time.After(endedPause):
		}
	}
}

// awaitMeeting has a node that has just started meet the others first: names that it gives by itself may have to be taken back.
func (n *Node) awaitMeeting(ctx context.Context) {
	first := firstMeeting
	if len(n.cfg.Join) > 0 {
		first = joinMeeting
	}
	left := first - time.Since(n.started)
	if n.host == nil || left <= 0 {
		return
	}
	select {
	case <-n.names.met:
	case <-time.After(left):
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
}

func (n *Node) hasEnded(j id.Job) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ended.has(j)
}

// own notes that a process has a name or asks for it; false where the process is gone.
func (n *Node) own(p *process, k claimed) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.gone {
		return false
	}
	n.names.mu.Lock()
	defer n.names.mu.Unlock()
	n.names.mine[k] = p.addr
	return true
}

func (n *Node) disown(k claimed) {
	n.names.mu.Lock()
	defer n.names.mu.Unlock()
	delete(n.names.mine, k)
}

// askRegistrars asks the machine, and waits for its answer.
func (n *Node) askRegistrars(ctx context.Context, q *wire.NameQuery, f func(*registrar.Machine, int64, uint64) []registrar.Action) (h wire.Named, err error) {
	ch := make(chan registrar.Done, 1)
	n.stepNames(func(m *registrar.Machine, now int64) []registrar.Action {
		n.names.op++
		n.names.asks[n.names.op] = func(d registrar.Done) { ch <- d }
		return f(m, now, n.names.op)
	})
	select {
	case d := <-ch:
		switch d.Status {
		case registrar.Granted, registrar.Taken:
			err = wire.Unmarshal(d.Holder.Info, &h)
		case registrar.Nobody, registrar.Free:
		default:
			err = n.nameTrouble(q, &d)
		}
		return h, err
	case <-ctx.Done():
		return h, n.nameTrouble(q, &registrar.Done{Status: registrar.Unavailable})
	case <-n.ctx.Done():
		return h, &wire.ErrorRecord{Class: wire.ErrorClosed, Node: n.id, Text: "node: the node is closing"}
	}
}

// nameTrouble is why nothing can be said about a name.
func (n *Node) nameTrouble(q *wire.NameQuery, d *registrar.Done) error {
	text := fmt.Sprintf("node: the name %q of namespace %q: ", q.Name, q.Namespace)
	switch d.Status {
	case registrar.Silent:
		text += fmt.Sprintf("an actor on node %s has it, and that node does not answer: the name is free again within %v, unless the node comes back",
			d.Holder.Lease.At.Node.Short(), time.Duration(registrar.LeaseTime))
	case registrar.Full:
		text += "the cluster keeps as many names as it can: free some by Kill"
	default:
		n.names.mu.Lock()
		cfg := n.names.m.Config()
		n.names.mu.Unlock()
		text += fmt.Sprintf("no majority of the nodes that keep the names (%s) answers node %s: see that they run and that the network between is whole; where most of them are gone for good, start the others anew",
			shortNames(nodesOf(&cfg)), n.id.Short())
	}
	return &wire.ErrorRecord{Class: wire.ErrorUnavailable, Node: n.id, Text: text}
}

func nodesOf(cfg *registrar.Config) (nodes []id.Node) {
	for _, m := range cfg.Members {
		nodes = append(nodes, m.Node)
	}
	return nodes
}

// shortNames lists nodes for people.
func shortNames(nodes []id.Node) string {
	var l []string
	for _, n := range nodes {
		l = append(l, n.Short())
	}
	return strings.Join(l, ", ")
}

// freeNames gives the names of a process's actors back when it has ended, and waits a moment until they are free.
func (n *Node) freeNames(at id.Addr) {
	t := &n.names
	t.mu.Lock()
	var gone []claimed
	for k, a := range t.mine {
		if a == at {
			gone = append(gone, k)
			delete(t.mine, k)
		}
	}
	t.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	free := make(chan struct{}, len(gone))
	for _, k := range gone {
		n.stepNames(func(m *registrar.Machine, now int64) []registrar.Action {
			t.op++
			t.asks[t.op] = func(registrar.Done) { free <- struct{}{} }
			return m.Release(now, t.op, k.name, k.actor)
		})
	}
	limit := time.After(diedWait)
	for range gone {
		select {
		case <-free:
		case <-limit:
			return
		}
	}
}

// leaveNames has other nodes keep the names when this one closes, if there are any.
func (n *Node) leaveNames() {
	if n.host == nil || n.names.m == nil {
		return
	}
	alone := len(n.peers()) == 0
	if alone {
		return
	}
	n.stepNames((*registrar.Machine).Leave)
	for end := time.Now().Add(partingWait); time.Now().Before(end); time.Sleep(namesBusy / 5) {
		n.names.mu.Lock()
		parted := n.names.m.Parted()
		n.names.mu.Unlock()
		if parted {
			return
		}
		n.stepNames((*registrar.Machine).Tick)
	}
}

// NamesStatus is who keeps the names of actors, and what this node has to do with it.
type NamesStatus struct {
	Registrars []id.Node `json:"registrars"`
	Conf       string    `json:"configuration"`
	Held       int       `json:"held"` // names of actors of this node
}

func (n *Node) namesStatus() (s NamesStatus) {
	n.names.mu.Lock()
	defer n.names.mu.Unlock()
	if n.names.m == nil {
		return s
	}
	cfg := n.names.m.Config()
	s.Registrars = slices.Sorted(slices.Values(nodesOf(&cfg)))
	s.Conf, s.Held = cfg.Conf.String(), len(n.names.mine)
	return s
}
