package node

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/kadrehq/kadre/actor/registrar"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/p2p"
)

// metaPause is the least time between two changes of what peers know of this node.
const metaPause = 200 * time.Millisecond

// desc is what a node tells its peers about itself, with its membership.
type desc struct {
	_         struct{} `cbor:",toarray"`
	Version   int
	PID       int
	Resources map[string]float64 // with CPU
	Labels    map[string]string
	Draining  bool
}

// load is what a node tells its peers of how busy it is. It changes often and travels with the gossip.
type load struct {
	_         struct{} `cbor:",toarray"`
	Available map[string]float64
	Load      float64 // CPUs in use per CPU
	Jobs      int     // known to the node
}

// told is a descriptor and a load as they were last sent.
type told struct{ meta, busy []byte }

// member is another node of the cluster.
type member struct {
	epoch uint64
	addrs []string
	state string
	rtt   time.Duration
	desc  desc
	load  load
}

// The modes have constant options, which are right. Maps are sorted: equal descriptors have equal encodings.
var (
	descEnc, _ = cbor.EncOptions{Sort: cbor.SortBytewiseLexical}.EncMode()
	descDec, _ = cbor.DecOptions{MaxArrayElements: 1024, MaxMapPairs: 1024, MaxNestedLevels: 4}.DecMode()
)

func parseDesc(b []byte) (d desc, err error) {
	if err = descDec.Unmarshal(b, &d); err != nil {
		return desc{}, fmt.Errorf("node: descriptor: %w", err)
	}
	return d, nil
}

func parseLoad(b []byte) (l load, err error) {
	if len(b) == 0 { // none came yet
		return load{}, nil
	}
	if err = descDec.Unmarshal(b, &l); err != nil {
		return load{}, fmt.Errorf("node: load: %w", err)
	}
	return l, nil
}

func encode(v any) []byte {
	b, err := descEnc.Marshal(v)
	if err != nil {
		panic(err) // a desc and a load have nothing that could fail
	}
	return b
}

// describe is the descriptor and the load of the node as they are now.
func (n *Node) describe() (meta, busy []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hereLocked()
	meta = encode(&desc{Version: wire.Version, PID: os.Getpid(), Resources: h.resources, Labels: n.cfg.Labels, Draining: n.draining})
	l := load{Available: h.available, Jobs: len(n.jobs)}
	l.Load = float64(int(h.load*20)) / 20 // coarse: small changes are not worth a message
	if busy = encode(&l); len(busy) > p2p.MaxLoad {
		l.Available = nil // too many kinds of resources: placing goes by what the node has
		busy = encode(&l)
	}
	return meta, busy
}

// advertise tells the peers what has changed, if something has.
func (n *Node) advertise() {
	if n.host == nil {
		return
	}
	meta, busy := n.describe()
	if !bytes.Equal(meta, n.told.meta) {
		n.told.meta = meta
		if err := n.host.UpdateMeta(meta); err != nil {
			n.log.Warn("node: telling the peers about this node", "err", err)
		}
	}
	if !bytes.Equal(busy, n.told.busy) {
		n.told.busy = busy
		if err := n.host.UpdateLoad(busy); err != nil {
			n.log.Warn("node: telling the peers how busy this node is", "err", err)
		}
	}
}

// memberEvent takes what the network says of other nodes, in order.
func (n *Node) memberEvent(e p2p.Event) {
	n.early.do(func() { n.memberChanged(e) })
}

func (n *Node) memberChanged(e p2p.Event) {
	m := e.Member
	if m.Self || m.ID == n.id {
		return
	}
	if e.Why != "" { // else it tells of its load, again and again
		n.events.Add(trace.Event{Layer: "p2p", Kind: e.Kind.String(), Peer: m.ID.Short(), N: int64(m.Epoch), Text: e.Why})
	}
	if e.Kind == p2p.Down {
		n.mu.Lock()
		delete(n.members, m.ID)
		delete(n.place.spread, m.ID)
		n.mu.Unlock()
		n.stepNames(func(r *registrar.Machine, now int64) []registrar.Action { return r.Down(now, m.ID, m.State == "left") })
		n.steal.peerDown(m.ID)
		n.heardDead([]id.Addr{{Node: m.ID}}, e.Why)
		n.placeCut()
		n.spawn(func() { n.endJobsOf(m.ID) })
		return
	}
	d, err := parseDesc(m.Meta)
	l, err2 := parseLoad(m.Load)
	if err := errors.Join(err, err2); err != nil {
		n.log.Warn("node: a node describes itself wrongly", "node", m.ID.Short(), "err", err)
	}
	n.mu.Lock()
	n.members[m.ID] = &member{m.Epoch, m.Addrs, m.State, m.RTT, d, l}
	n.mu.Unlock()
	if e.Kind == p2p.Up {
		n.orphans.up(m.ID)
		n.steal.peerUp(m.ID, m.Epoch)
		n.stepNames(func(r *registrar.Machine, now int64) []registrar.Action {
			return r.Up(now, registrar.Member{Node: m.ID, Epoch: m.Epoch})
		})
	}
}

// peers names the other nodes.
func (n *Node) peers() []id.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.members))
}

// nodes lists the living nodes, this one first.
func (n *Node) nodes() []wire.NodeInfo {
	addrs := n.Addrs()
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hereLocked()
	l := []wire.NodeInfo{{ID: n.id, Addrs: addrs, Resources: h.resources, Available: h.available, Labels: n.cfg.Labels, PID: os.Getpid()}}
	for _, name := range slices.Sorted(maps.Keys(n.members)) {
		m := n.members[name]
		l = append(l, wire.NodeInfo{ID: name, Addrs: m.addrs, Resources: m.desc.Resources, Available: m.load.Available, Labels: m.desc.Labels, PID: m.desc.PID})
	}
	return l
}
