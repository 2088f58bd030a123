package node

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// maxGroups bounds the placement groups of a node.
const maxGroups = 4096

// group is a placement group that has its resources on this node, or waits for them. Its bundles are taken together, as one
// errand holds them.
type group struct {
	id       id.Group
	owner    id.Addr // the process that made it: it ends with that, and with its job
	strategy uint8
	bundles  []*pool
	errand   *errand
	since    time.Time
	asked    []*wire.Frame // who waits until it is reserved
}

func (g *group) name() string { return "placement group " + g.id.Short() }

// groupFrame takes a question about a placement group: from a process, or from the node of one.
func (n *Node) groupFrame(p *process, f *wire.Frame) error {
	var q wire.Group
	body := bytes.Clone(f.Body)
	if err := wire.Unmarshal(body, &q); err != nil {
		return err
	}
	if err := q.Check(); err != nil {
		return err
	}
	if q.Op == wire.GroupMake && p != nil {
		q.Job, q.Owner = p.job, p.addr
		return n.placeGroup(p, &q, f.Head())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if q.Op == wire.GroupMake {
		if f.From.Proc != 0 || q.Owner.Node != f.From.Node {
			return fmt.Errorf("node: a placement group is asked for by its owner's node")
		}
		if why := n.reserveLocked(&q); why != nil { // not as it is: a nil of its type is no nil error
			n.reply(f, nil, why)
			return nil
		}
		n.reply(f, wire.Marshal(&wire.Placed{To: n.self()}), nil)
		return nil
	}
	g := n.groups[q.Group]
	if g == nil || g.owner != f.From {
		n.reply(f, nil, n.noGroup(q.Group))
		return nil
	}
	if q.Op == wire.GroupRemove {
		n.removeGroupLocked(g, "it was removed")
		n.advanceLocked()
		n.reply(f, nil, nil)
		return nil
	}
	if g.errand.held {
		n.reply(f, nil, nil)
		return nil
	}
	if len(g.asked) >= maxAsked {
		return n.refusal("node: %d requests wait for %s already", maxAsked, g.name())
	}
	g.asked = append(g.asked, f.Head())
	return nil
}

// noGroup is the answer about a placement group that is not here.
func (n *Node) noGroup(g id.Group) *wire.ErrorRecord {
	return &wire.ErrorRecord{Class: wire.ErrorUnschedulable, Node: n.id,
		Text: fmt.Sprintf("node: placement group %s has no resources on node %s: it was removed, or its driver has ended", g.Short(), n.id.Short())}
}

// placeGroup chooses the node of a process's placement group, and has the bundles reserved there.
func (n *Node) placeGroup(p *process, q *wire.Group, asked *wire.Frame) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.gone {
		return nil
	}
	to, why := groupFits(q, n.candidatesLocked(nil))
	if why == nil && to == n.id {
		why = n.reserveLocked(q)
	}
	if why != nil {
		n.reply(asked, nil, why)
		return nil
	}
	if to == n.id {
		n.reply(asked, wire.Marshal(&wire.Placed{To: n.self()}), nil)
		return nil
	}
	n.request(id.Addr{Node: to}, wire.KGroup, wire.Marshal(q), func(body []byte, err error) { n.reply(asked, body, err) })
	return nil
}

// reserveLocked takes the bundles of a placement group of this node's resources, all or none, now or when they are free.
func (n *Node) reserveLocked(q *wire.Group) *wire.ErrorRecord {
	if n.draining || len(n.groups) >= maxGroups || n.groups[q.Group] != nil || n.ended.has(q.Job) {
		return n.refusal("node: node %s is draining, or has %d placement groups already, or the job has ended", n.id.Short(), maxGroups)
	}
	if _, why := groupFits(q, []candidate{n.hereLocked()}); why != nil {
		return why
	}
	g := &group{id: q.Group, owner: q.Owner, strategy: q.Strategy, since: time.Now()}
	sum := map[string]int64{}
	for i, b := range q.Bundles {
		x := &pool{name: fmt.Sprintf("bundle %d of %s", i, g.name()), total: map[string]int64{}, used: map[string]int64{}}
		for k, v := range b {
			x.total[k] = micro(v)
			sum[k] += micro(v)
		}
		g.bundles = append(g.bundles, x)
	}
	e := &errand{group: g, spec: wire.Spec{Job: q.Job, Owner: q.Owner, Func: g.name()}, from: q.Owner.Node}
	for _, k := range slices.Sorted(maps.Keys(sum)) {
		e.need = append(e.need, amount{k, sum[k]})
	}
	g.errand = e
	n.groups[g.id] = g
	n.queueLocked(e)
	return nil
}

// groupFits chooses a node for a placement group, or says what no node can ever give of it.
func groupFits(q *wire.Group, cs []candidate) (id.Node, *wire.ErrorRecord) {
	no := func(format string, args ...any) (id.Node, *wire.ErrorRecord) {
		return "", &wire.ErrorRecord{Class: wire.ErrorUnschedulable, Text: "node: a placement group cannot be: " + fmt.Sprintf(format, args...)}
	}
	sum := map[string]float64{}
	most := func(k string) (m float64) {
		for _, c := range cs {
			m = max(m, c.resources[k])
		}
		return m
	}
	for i, b := range q.Bundles {
		for _, k := range slices.Sorted(maps.Keys(b)) {
			if m := most(k); b[k] > m+1e-9 {
				return no("bundle %d wants %s %v, and the most a node has is %v", i, k, b[k], m)
			}
			sum[k] += b[k]
		}
	}
	if q.Strategy == wire.GroupStrictSpread && len(q.Bundles) > 1 {
		return no("StrategyStrictSpread wants %d nodes, one for each bundle, and placement groups are on one node for now", len(q.Bundles))
	}
	for _, k := range slices.Sorted(maps.Keys(sum)) {
		if m := most(k); sum[k] > m+1e-9 {
			return no("its %d bundles want %s %v together, the most a node has is %v, and placement groups are on one node for now", len(q.Bundles), k, sum[k], m)
		}
	}
	return choose(&wire.Spec{Func: "a placement group", Resources: without(sum, cpuName), CPU: uint32(math.Round(sum[cpuName] * 1000))}, cs, rand.IntN)
}

func without(m map[string]float64, k string) map[string]float64 {
	m2 := maps.Clone(m)
	delete(m2, k)
	return m2
}

// bundleLocked finds the bundle that an errand runs in, and says where it can never have room.
func (n *Node) bundleLocked(s *wire.Spec, need []amount) (*pool, *wire.ErrorRecord) {
	g := n.groups[s.Group]
	if g == nil || g.errand.spec.Job != s.Job {
		why := n.noGroup(s.Group)
		why.Text = fmt.Sprintf("%s: %s was to run in it", why.Text, s.Func)
		return nil, why
	}
	no := func(format string, args ...any) (*pool, *wire.ErrorRecord) {
		return nil, &wire.ErrorRecord{Class: wire.ErrorUnschedulable, Node: n.id, Func: s.Func, Text: fmt.Sprintf("node: "+format, args...)}
	}
	if int(s.Bundle) >= len(g.bundles) {
		return no("%s is to run in bundle %d of %s, which has %d", s.Func, s.Bundle, g.name(), len(g.bundles))
	}
	b := g.bundles[s.Bundle]
	for _, a := range need {
		if t := b.total[a.name]; t < a.micro {
			return no("%s wants %s %s and is to run in %s, which has %s", s.Func, a.name, units(a.micro), b.name, units(t))
		}
	}
	return b, nil
}

// grantLocked tells who waits that a placement group is reserved.
func (n *Node) grantLocked(g *group) {
	for _, f := range g.asked {
		n.reply(f, nil, nil)
	}
	g.asked = nil
	n.event("group", "reserved", g.owner.String(), int64(len(g.bundles)), g.id.String())
}

// removeGroupLocked ends a placement group: what waits in it fails, what runs in it holds what it has until it ends, and the
// rest is given back.
func (n *Node) removeGroupLocked(g *group, why string) {
	delete(n.groups, g.id)
	text := fmt.Sprintf("node: %s: %s", g.name(), why)
	rec := func(class wire.ErrorClass) *wire.ErrorRecord {
		return &wire.ErrorRecord{Class: class, Node: n.id, Text: text}
	}
	n.dropWaitingLocked(func(e *errand) bool {
		if e.group == g {
			return true
		}
		if !slices.Contains(g.bundles, e.pool) {
			return false
		}
		n.failLocked(e, rec(wire.ErrorUnschedulable))
		return true
	})
	for _, f := range g.asked {
		n.reply(f, nil, rec(wire.ErrorUnschedulable))
	}
	g.asked = nil
	n.endInGroupLocked(g, text)
	if g.errand.held {
		n.releaseLocked(g.errand)
		for _, b := range g.bundles {
			var held []amount
			for k, v := range b.used {
				held = append(held, amount{k, v})
			}
			n.place.pool.take(held, true)
			b.gone = &n.place.pool
		}
	}
	n.event("group", "removed", g.owner.String(), int64(len(g.bundles)), g.id.String())
}

// endInGroupLocked has processes end what runs in a group. The owner of a task or actor cannot see to it: news of where that
// runs may come after its outcome, and after the last reference to it is gone.
func (n *Node) endInGroupLocked(g *group, why string) {
	for _, p := range *n.procs.Load() {
		var c wire.Cancel
		for t, e := range p.errands {
			switch {
			case !slices.Contains(g.bundles, e.pool):
			case e.spec.Kind == wire.KindCreate:
				n.tell(p.addr, wire.KKill, wire.Marshal(&wire.Kill{Actor: e.spec.Actor, Why: why}))
			default:
				c.Tasks, c.Attempts = append(c.Tasks, t), append(c.Attempts, e.spec.Attempt)
			}
			if len(c.Tasks) == maxCancels {
				n.tell(p.addr, wire.KCancel, wire.Marshal(&c))
				c = wire.Cancel{}
			}
		}
		if c.Tasks != nil {
			n.tell(p.addr, wire.KCancel, wire.Marshal(&c))
		}
	}
}

// maxCancels bounds the tasks that one message cancels.
const maxCancels = 1024

// removeGroupsLocked removes those for which which is true.
func (n *Node) removeGroupsLocked(which func(*group) bool, why string) {
	for _, g := range n.groups {
		if which(g) {
			n.removeGroupLocked(g, why)
		}
	}
}

// GroupStatus is a placement group as listings show it.
type GroupStatus struct {
	Group    string         `json:"group"`
	Job      string         `json:"job"`
	Owner    string         `json:"owner"`
	Node     id.Node        `json:"node"`
	State    string         `json:"state"` // "waiting" or "reserved"
	Why      string         `json:"why"`
	Strategy string         `json:"strategy"`
	AgeSec   float64        `json:"age_sec"`
	Bundles  []BundleStatus `json:"bundles"`
}

// Short names the group for people, as errors do.
func (g *GroupStatus) Short() string {
	if len(g.Group) < 16 {
		return g.Group
	}
	return g.Group[:8] + "/" + strings.TrimLeft(g.Group[16:], "0")
}

// BundleStatus is one bundle: what it has, and what of that its tasks hold.
type BundleStatus struct {
	Has  map[string]float64 `json:"has"`
	Used map[string]float64 `json:"used"`
}

// String is a bundle for people.
func (b BundleStatus) String() string {
	var l []string
	for _, k := range slices.Sorted(maps.Keys(b.Has)) {
		l = append(l, fmt.Sprintf("%s %v of %v", k, b.Used[k], b.Has[k]))
	}
	return strings.Join(l, ", ")
}

var strategyNames = [...]string{wire.GroupPack: "pack", wire.GroupSpread: "spread", wire.GroupStrictPack: "strict-pack", wire.GroupStrictSpread: "strict-spread"}

// groupRowsLocked lists the placement groups of this node.
func (n *Node) groupRowsLocked() []GroupStatus {
	rows := []GroupStatus{}
	for _, g := range n.groups {
		r := GroupStatus{Group: g.id.String(), Job: g.errand.spec.Job.String(), Owner: g.owner.Proc.String(), Node: n.id, State: "reserved",
			Strategy: strategyNames[g.strategy], AgeSec: time.Since(g.since).Seconds()}
		if !g.errand.held {
			r.State, r.Why = "waiting", n.resourceRowLocked(g.errand).Why
		}
		for _, b := range g.bundles {
			s := BundleStatus{map[string]float64{}, map[string]float64{}}
			for k, v := range b.total {
				s.Has[k], s.Used[k] = float64(v)/1e6, float64(b.used[k])/1e6
			}
			r.Bundles = append(r.Bundles, s)
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b GroupStatus) int { return strings.Compare(a.Group, b.Group) })
	return rows
}
