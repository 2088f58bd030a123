package p2p

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/admit"
	"github.com/kadrehq/kadre/p2p/directory"
	"github.com/kadrehq/kadre/p2p/lane"
	"github.com/kadrehq/kadre/p2p/member"
	"github.com/libp2p/go-libp2p/core/peer"
)

const maxCluster = admit.MaxCluster

// Host is a node's place in the network. Its methods may be called by anyone at any time.
type Host struct {
	// constant after Start
	cfg      Config
	id       id.Node
	epoch    uint64
	born     time.Time // zero of the view's clock
	state    *state
	ports    []*lane.Port
	endpoint *lane.Endpoint
	kad      *kademlia
	dir      *directory.Directory
	runtime  *runtimeDir  // nil: none
	near     net.Listener // of nodes of this machine; nil: none
	mdns     *mdns        // nil: none
	denied   denied       // safe for concurrent use
	keys     *admit.Ring  // likewise
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup
	dials    chan struct{} // bounds dials
	shakes   chan struct{} // bounds handshakes of strangers
	closing  sync.Once
	closeErr error

	bulkIn, bulkOut atomic.Uint64

	asks    asks     // has its own lock
	relays  relays   // likewise
	serving serving  // likewise
	wrong   troubles // likewise
	coarse  coarse   // likewise

	mu     sync.Mutex
	closed bool
	view   *member.Machine
	nearby map[id.Node]bool // nodes of this machine that have a socket in the runtime folder
	links  map[id.Node]*link
	bonds  map[id.Node]*lane.Bond // of the members
	pools  map[id.Node]*pool      // bulk lanes dialed
	served map[id.Node]map[*lane.Bulk]bool
	offer  *offering // the one that a Step under way decides on
	events []Event
	wake   chan struct{} // events are there
	recent []string      // ring of what happened, newest last
}

// link is an accepted control lane.
type link struct {
	peer   id.Node
	epoch  uint64
	lane   uint64
	via    string
	ours   bool   // this node dialed
	proved string // the fingerprint of the peer's token
	ctl    *lane.Control
}

// Start starts a node and joins the cluster. ctx bounds starting only.
func Start(ctx context.Context, cfg Config) (_ *Host, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	tokens, denied := watch(cfg.TokenFile), watch(cfg.DenyFile) // before they are read
	keys, err := cfg.keys()
	if err != nil {
		return nil, fmt.Errorf("p2p: %w", err)
	}
	h := &Host{
		cfg: cfg, born: time.Now(), keys: admit.NewRing(keys),
		dials: make(chan struct{}, maxDials), shakes: make(chan struct{}, maxShakes),
		links: map[id.Node]*link{}, bonds: map[id.Node]*lane.Bond{}, pools: map[id.Node]*pool{}, served: map[id.Node]map[*lane.Bulk]bool{},
		wake: make(chan struct{}, 1),
	}
	h.asks.waiting = map[uint64]*asked{}
	h.coarse.has = map[Key]bool{}
	h.relays.hosts = map[peer.ID]reservation{}
	h.nearby = map[id.Node]bool{}
	h.ctx, h.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	if err := h.denied.load(cfg.DenyFile); err != nil {
		return nil, err
	}
	if err := h.open(admit.Gate{Keys: h.keys, Cluster: cfg.Cluster, Denied: h.denied.has}.Speaking(cfg.speaks[0], cfg.speaks[1])); err != nil {
		return nil, err
	}
	if cfg.MDNS && cfg.outside() {
		if h.mdns, err = openMDNS(keys.Names(mdnsPurpose(cfg))); err != nil {
			cfg.Logger.Warn("p2p: nodes of the local network cannot be found", "err", err)
		}
	}
	h.run(tokens, denied)
	if err := h.join(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// open gets everything a node is made of, and starts nothing that looks for peers.
func (h *Host) open(g admit.Gate) (err error) {
	if h.state, err = openState(h.cfg.StateDir); err != nil {
		return err
	}
	key, err := h.state.key()
	if err != nil {
		return err
	}
	if h.epoch, err = h.state.epoch(time.Now()); err != nil {
		return err
	}
	p, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return fmt.Errorf("p2p: the node's key: %w", err)
	}
	h.id = id.Node(p.String())
	if h.ports, err = h.cfg.listen(); err != nil {
		return err
	}
	if h.endpoint, err = lane.NewEndpoint(key, g); err != nil {
		return fmt.Errorf("p2p: %w", err)
	}
	h.kad, err = startKademlia(key, g, h.ports, net4dir{h}.Call, func(p peer.ID, from net.Addr, err error) { h.refused(from, err) })
	if err != nil {
		return err
	}
	h.view = member.New(h.id, h.epoch, h.addrs(), slices.Clone(h.cfg.Meta))
	if len(h.cfg.Load) > 0 {
		h.view.Step(member.Loaded{Load: slices.Clone(h.cfg.Load)}, h.now())
	}
	h.dir = directory.New(net4dir{h})
	h.kad.host.SetStreamHandler(h.streamID(), h.serveStream)
	if h.cfg.RuntimeDir != "" {
		if h.runtime, err = openRuntime(h.cfg.RuntimeDir, h.id); err != nil {
			return err
		}
		h.lookNear() // before anybody is dialed
	}
	return err
}

// run starts the goroutines. All end when h.ctx does.
func (h *Host) run(tokens, denied watched) {
	for _, p := range h.ports {
		ln := p.Lanes()
		h.wg.Go(func() { h.accept(ln) })
	}
	h.takeStreams()
	if h.cfg.outside() {
		h.wg.Go(h.keepReachable)
	}
	h.wg.Go(h.ticks)
	h.wg.Go(h.remember)
	h.wg.Go(h.reunite)
	h.wg.Go(h.keepCoarse)
	if h.cfg.DenyFile != "" {
		h.wg.Go(func() { h.watchDenied(denied) })
	}
	if h.cfg.TokenFile != "" {
		h.wg.Go(func() { h.watchToken(tokens) })
	}
	if h.mdns != nil {
		h.wg.Go(h.mdns.read)
		h.wg.Go(h.meetMDNS)
	}
	h.wg.Go(h.tellEvents)
	if h.runtime != nil {
		h.listenNear()
		h.wg.Go(h.meetRuntime)
	}
}

// listen binds the ports.
func (c Config) listen() (ports []*lane.Port, err error) {
	defer func() {
		if err != nil {
			for _, p := range ports {
				p.Close()
			}
			ports = nil
		}
	}()
	bind := func(network, addr string) error {
		p, err := lane.Listen(network, addr)
		if err != nil {
			return fmt.Errorf("p2p: %w", err)
		}
		ports = append(ports, p)
		return nil
	}
	if len(c.Listen) == 0 {
		if c.TokenFile == "" {
			return ports, bind("tcp4", "127.0.0.1:0")
		}
		if err := bind("tcp4", "0.0.0.0:0"); err != nil {
			return ports, err
		}
		// The same port on IPv6 where the machine has it and the port is free; IPv4 alone will do.
		_ = bind("tcp6", net.JoinHostPort("::", strconv.Itoa(ports[0].Addr().Port)))
		return ports, nil
	}
	for _, l := range c.Listen {
		network, a, err := parseListen(l)
		if err == nil {
			err = bind(network, a.String())
		}
		if err != nil {
			return ports, err
		}
	}
	return ports, nil
}

// ID is the node's name.
func (h *Host) ID() id.Node { return h.id }

// Epoch names this start of the node.
func (h *Host) Epoch() uint64 { return h.epoch }

// Addrs are multiaddrs that other nodes can join by.
func (h *Host) Addrs() []string { return fullAddrs(h.id, h.addrs()) }

// addrs is what this node tells others of where it is.
func (h *Host) addrs() []string {
	if h.cfg.announce != nil {
		return h.cfg.announce
	}
	l := append(h.kad.addrs(), h.relays.addrs()...)
	return l[:min(len(l), member.MaxAddrs)]
}

// Directory keeps records on the nodes closest to their keys.
func (h *Host) Directory() *Directory { return h.dir }

// RoutingTableSize is how many nodes Kademlia's table has.
func (h *Host) RoutingTableSize() int { return h.kad.dht.RoutingTable().Size() }

// Members are the living nodes, this one first, then by ID.
func (h *Host) Members() []Member {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := []Member{h.selfLocked()}
	for _, i := range h.view.Members() {
		m := asMember(i)
		if k := h.links[i.ID]; k != nil {
			m.Via, m.Token = k.via, k.proved
		}
		l = append(l, m)
	}
	return l
}

func (h *Host) selfLocked() Member {
	m := asMember(h.view.Self())
	m.Self, m.Found, m.Via = true, "self", ""
	return m
}

func asMember(i member.Info) Member {
	return Member{
		ID: i.ID, Epoch: i.Epoch, Addrs: fullAddrs(i.ID, i.Addrs), Meta: i.Meta, Load: i.Load,
		Found: i.Found.String(), State: i.State.String(), Said: i.Said.String(), RTT: time.Duration(i.RTT),
	}
}

// UpdateMeta changes the descriptor that peers see. The gossip tells them that it has changed, and each asks
// this node for it: what changes often belongs to the load.
func (h *Host) UpdateMeta(meta []byte) error {
	if len(meta) > MaxMeta {
		return fmt.Errorf("p2p: descriptor of %d bytes: at most %d", len(meta), MaxMeta)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stepLocked(member.Describe{Addrs: h.view.Self().Addrs, Meta: slices.Clone(meta)})
	return nil
}

// UpdateLoad tells peers how busy this node is. It travels with the gossip: each peer gets the newest within
// some hundred milliseconds, not all before it.
func (h *Host) UpdateLoad(load []byte) error {
	if len(load) > MaxLoad {
		return fmt.Errorf("p2p: load of %d bytes: at most %d", len(load), MaxLoad)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stepLocked(member.Loaded{Load: slices.Clone(load)})
	return nil
}

// Leave tells all peers that this node leaves and waits until they have been told, or ctx ends. From then
// on it takes no new peers. Close comes after it.
func (h *Host) Leave(ctx context.Context) error {
	h.withdraw(ctx)
	h.mu.Lock()
	h.stepLocked(member.Leave{})
	links := make([]*link, 0, len(h.links))
	for _, l := range h.links {
		links = append(links, l)
	}
	done := make(chan struct{})
	if h.closed {
		close(done)
	} else {
		h.wg.Go(func() {
			defer close(done)
			for _, l := range links {
				l.ctl.Flush()
			}
		})
	}
	h.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("p2p: leaving: not all peers have been told: %w", context.Cause(ctx))
	}
}

// Close ends the node without a word to its peers (see Leave) and waits for all it started. It must not be
// called from a callback.
//
//  1. Nothing new is taken; handshakes, dials and lookups end.
//  2. Lanes are cut. Waiting fetches and requests fail.
//  3. Directory, DHT, libp2p and the ports end, in this order; then the callbacks.
//  4. The runtime file is removed and the state folder unlocked.
func (h *Host) Close() error {
	h.closing.Do(h.shut)
	return h.closeErr
}

func (h *Host) shut() {
	h.stop()
	h.mu.Lock()
	h.closed = true
	for _, b := range h.bonds {
		b.End(ErrClosed)
	}
	links := make([]*link, 0, len(h.links))
	for _, l := range h.links {
		links = append(links, l)
	}
	for _, p := range h.pools {
		p.cutAll()
	}
	for _, m := range h.served {
		for b := range m {
			b.Cut()
		}
	}
	h.mu.Unlock()
	for _, l := range links {
		l.ctl.Cut(ErrClosed)
	}
	if h.dir != nil {
		h.dir.Close()
	}
	if h.kad != nil {
		h.kad.close()
	}
	for _, p := range h.ports {
		p.Close()
	}
	if h.mdns != nil {
		h.mdns.close()
	}
	if h.near != nil {
		h.near.Close() // which removes the socket
	}
	h.wg.Wait()
	if h.runtime != nil {
		h.closeErr = h.runtime.remove()
	}
	if h.state != nil {
		h.state.close()
	}
}
