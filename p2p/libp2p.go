package p2p

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	golog "github.com/ipfs/go-log/v2"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/admit"
	"github.com/kadrehq/kadre/p2p/directory"
	"github.com/kadrehq/kadre/p2p/lane"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	kb "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	bucketSize   = 8
	libp2pDial   = 2 * time.Second // one of libp2p's TCP dials
	lookupFor    = 5 * time.Second
	queryAtOnce  = 4 // more questions than this at a time cost more processors than they save time
	queryClosest = 3
	maxConnsPeer = 16 // of libp2p's, from one peer
)

// kademlia is the libp2p host and the DHT on it: identity, address book and lookups.
type kademlia struct {
	ports []*lane.Port
	host  host.Host
	relay io.Closer // for members that nobody can dial
	dht   *dht.IpfsDHT
	up    atomic.Bool // host and dht are set; libp2p takes connections a moment before
	met   sync.Map    // peer.ID of nodes that a lane is dialed to: an answer would lift the verdict
	dead  sync.Map    // peer.ID of nodes under a verdict: not dialed, not asked, not in the table
	laned sync.Map    // peer.ID of nodes that there is a lane to
	doubt sync.Map    // peer.ID of members that are suspected
	spots spots       // has its own lock

	// call asks a node's directory protocol.
	call func(ctx context.Context, to id.Node, req []byte) ([]byte, error)
}

// quiet keeps libp2p from writing to standard error, unless its own variable asks for that.
var quiet = sync.OnceFunc(func() {
	if os.Getenv("GOLOG_LOG_LEVEL") == "" {
		golog.SetAllLoggers(golog.LevelFatal)
		gologshim.SetDefaultHandler(slog.DiscardHandler)
	}
})

// startKademlia starts the host on the libp2p halves of the ports.
func startKademlia(key crypto.PrivKey, g admit.Gate, ports []*lane.Port, call func(context.Context, id.Node, []byte) ([]byte, error),
	refused func(peer.ID, net.Addr, error)) (*kademlia, error) {
	quiet()
	k := &kademlia{ports: ports, call: call}
	var addrs []ma.Multiaddr
	for _, p := range ports {
		a, err := manet.FromNetAddr(p.Addr())
		if err != nil {
			return nil, fmt.Errorf("p2p: listening address: %w", err)
		}
		addrs = append(addrs, a)
	}
	var err error
	k.host, err = libp2p.New(
		libp2p.Identity(key),
		libp2p.NoTransports,
		libp2p.Transport(func(u transport.Upgrader, rm network.ResourceManager) (*halves, error) {
			return newHalves(u, rm, ports, addrs)
		}),
		libp2p.Security(string(admit.SecurityID), admit.NewSecurity(g, refused)),
		libp2p.ListenAddrs(append(addrs[:len(addrs):len(addrs)], ma.StringCast(circuitSuffix))...),
		libp2p.ResourceManager(&network.NullResourceManager{}), // its limits refuse the ninth node of an address
		libp2p.ConnectionManager(connmgr.NullConnMgr{}),
		libp2p.ConnectionGater(gater{k}),
		libp2p.EnableRelay(),
		libp2p.DisableMetrics(),
		libp2p.DisableIdentifyAddressDiscovery(),
	)
	if err != nil {
		return nil, fmt.Errorf("p2p: starting libp2p: %w", err)
	}
	if k.relay, err = serveRelay(k.host); err != nil {
		k.host.Close()
		return nil, err
	}
	k.dht, err = dht.New(kadHost{k.host, k},
		dht.Mode(dht.ModeServer), dht.ProtocolPrefix(protocol.ID("/kadre/"+g.Cluster)),
		dht.BucketSize(bucketSize), dht.Concurrency(queryAtOnce), dht.Resiliency(queryClosest),
		dht.DisableProviders(), dht.DisableValues(),
		dht.WithCustomMessageSender(func(host.Host, []protocol.ID) pb.MessageSenderWithDisconnect { return messenger{k} }),
		dht.QueryFilter(func(_ any, ai peer.AddrInfo) bool { return !k.isDead(ai.ID) }),
		dht.RoutingTableFilter(func(_ any, p peer.ID) bool { return !k.isDead(p) }),
	)
	if err != nil {
		k.host.Close()
		return nil, fmt.Errorf("p2p: starting the DHT: %w", err)
	}
	k.up.Store(true)
	return k, nil
}

func (k *kademlia) close() {
	if k.relay != nil {
		k.relay.Close()
	}
	k.dht.Close()
	k.host.Close()
}

func (k *kademlia) isDead(p peer.ID) bool     { _, dead := k.dead.Load(p); return dead }
func (k *kademlia) isDoubtful(p peer.ID) bool { _, doubt := k.doubt.Load(p); return doubt }

// note is what membership says of a node, as far as its questions are concerned.
func (k *kademlia) note(n id.Node, in *sync.Map, holds bool) {
	p, err := peer.Decode(string(n))
	switch {
	case err != nil:
	case holds:
		in.Store(p, nil)
	default:
		in.Delete(p)
	}
}

// bury is the part of a verdict that takes effect at once; evict does the rest.
func (k *kademlia) bury(n id.Node) {
	if p, err := peer.Decode(string(n)); err == nil {
		k.dead.Store(p, nil)
	}
}

// allow lets a node be dialed under a verdict, until the function it gives is called.
func (k *kademlia) allow(p peer.ID) func() {
	k.met.Store(p, nil)
	return func() { k.met.Delete(p) }
}

// unbury lifts a verdict.
func (k *kademlia) unbury(n id.Node) {
	if p, err := peer.Decode(string(n)); err == nil {
		k.dead.Delete(p)
	}
}

// evict removes a node from the routing table and closes its connections.
func (k *kademlia) evict(n id.Node) {
	p, err := peer.Decode(string(n))
	if err != nil || !k.isDead(p) {
		return
	}
	k.dht.RoutingTable().RemovePeer(p)
	k.host.Network().ClosePeer(p)
	k.host.Peerstore().ClearAddrs(p)
}

// admit puts a living node into the address book and the routing table.
func (k *kademlia) admit(n id.Node, addrs []string) {
	p, err := peer.Decode(string(n))
	if err != nil || k.isDead(p) {
		return
	}
	for _, a := range addrs {
		if m, err := ma.NewMultiaddr(a); err == nil {
			k.host.Peerstore().AddAddr(p, m, peerstore.PermanentAddrTTL)
		}
	}
	k.dht.RoutingTable().TryAddPeer(p, true, false) // a full bucket refuses: Kademlia needs no more
}

// addrs are where this node can be reached.
func (k *kademlia) addrs() (l []string) {
	for _, a := range k.host.Addrs() {
		if s := a.String(); !throughRelay(s) {
			l = append(l, s)
		}
	}
	slices.Sort(l)
	return l
}

// closer says whether node a is closer to a key than node b, as Kademlia counts.
func (k *kademlia) closer(key directory.Key, a, b id.Node) bool {
	p, q := k.spots.of(a), k.spots.of(b)
	if p == nil || q == nil {
		return true // what is no name of a node is looked up again
	}
	t := kb.ConvertKey(string(key[:]))
	for i := range t {
		if x, y := p[i]^t[i], q[i]^t[i]; x != y {
			return x < y
		}
	}
	return false
}

// spots remembers where nodes are in Kademlia's space: a member that comes or goes is compared with thousands of keys.
type spots struct {
	mu sync.Mutex
	at map[id.Node]kb.ID
}

const maxSpots = 1 << 12

func (s *spots) of(n id.Node) kb.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.at[n]; ok {
		return at
	}
	p, err := peer.Decode(string(n))
	if err != nil {
		return nil
	}
	if s.at == nil || len(s.at) >= maxSpots {
		s.at = map[id.Node]kb.ID{}
	}
	s.at[n] = kb.ConvertPeerID(p)
	return s.at[n]
}

// gater keeps libp2p from dialing the dead.
type gater struct{ k *kademlia }

func (g gater) InterceptPeerDial(p peer.ID) bool {
	_, met := g.k.met.Load(p)
	return met || !g.k.isDead(p)
}
func (g gater) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (g gater) InterceptAccept(network.ConnMultiaddrs) bool  { return true }

// InterceptSecured hears of connections that have proved themselves: they are no strangers any more.
func (g gater) InterceptSecured(d network.Direction, p peer.ID, c network.ConnMultiaddrs) bool {
	if d != network.DirInbound {
		return true
	}
	if a, err := manet.ToNetAddr(c.RemoteMultiaddr()); err == nil {
		if t, ok := a.(*net.TCPAddr); ok {
			for _, port := range g.k.ports {
				port.KnownFrom(t)
			}
		}
	}
	return !g.k.up.Load() || len(g.k.host.Network().ConnsToPeer(p)) < maxConnsPeer
}
func (g gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// halves is libp2p's TCP transport, listening on the libp2p halves of our ports.
type halves struct {
	*tcp.TcpTransport
	up    transport.Upgrader
	ports []*lane.Port
	addrs []ma.Multiaddr
}

func newHalves(u transport.Upgrader, rm network.ResourceManager, ports []*lane.Port, addrs []ma.Multiaddr) (*halves, error) {
	t, err := tcp.NewTCPTransport(u, rm, nil, tcp.DisableReuseport(), tcp.WithConnectionTimeout(libp2pDial))
	if err != nil {
		return nil, err
	}
	return &halves{t, u, ports, addrs}, nil
}

// Listen hands out the half of the port that is bound to a.
func (t *halves) Listen(a ma.Multiaddr) (transport.Listener, error) {
	for i, p := range t.ports {
		if t.addrs[i].Equal(a) {
			l, err := manet.WrapNetListener(p.Libp2p())
			if err != nil {
				return nil, err
			}
			return t.up.UpgradeGatedMaListener(t, t.up.GateMaListener(l)), nil
		}
	}
	return nil, fmt.Errorf("p2p: %s is none of our ports", a)
}
