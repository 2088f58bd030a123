package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/lane"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
)

// A node behind NAT can dial and cannot be dialed. It finds out by asking members that it has dialed to dial it; if
// none of them can, it keeps a reservation with some of those that can be dialed themselves, and tells everybody
// the addresses that lead to it through them. Every node is a relay for its cluster; what is relayed is encrypted
// between its ends. Lanes go over libp2p streams then, for which libp2p uses a connection that is there (a relay
// reaches its guest over the guest's own) or dials through the relay.
const (
	maxRelays     = 2 // that a node keeps at a time
	askReach      = 3 // members that are asked
	reachFor      = 5 * time.Second
	relayLook     = time.Second      // how often what has to be done is looked at
	reachFirst    = 30 * time.Second // a node that nobody can dial asks again
	reachAgain    = 5 * time.Minute  // one that can be dialed
	relayRenew    = 10 * time.Minute // before a reservation ends
	maxGuests     = 1024             // reservations here
	maxCircuits   = 1024             // of one node
	relayBuffer   = 64 << 10
	laneProto     = "/kadre/%s/lane/1"
	reachProto    = "/kadre/%s/reach/1"
	reachYes      = 1 // bits of the answer: you can be dialed
	reachGuest    = 2 // and I cannot
	circuitSuffix = "/p2p-circuit"
)

// relays is what a node behind NAT keeps to be reachable.
type relays struct {
	mu    sync.Mutex
	hosts map[peer.ID]reservation
}

type reservation struct {
	addrs []string // of this node through the relay, without its name
	ends  time.Time
}

// addrs lead to this node through relays.
func (r *relays) addrs() (l []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.hosts {
		l = append(l, v.addrs...)
	}
	slices.Sort(l)
	return l
}

func (r *relays) guest() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.hosts) > 0
}

// serveRelay lets members relay through this node; only they have connections.
func serveRelay(h host.Host) (io.Closer, error) {
	r, err := relay.New(h, relay.WithInfiniteLimits(), relay.WithResources(relay.Resources{
		ReservationTTL: time.Hour, MaxReservations: maxGuests, MaxCircuits: maxCircuits, BufferSize: relayBuffer,
		MaxReservationsPerIP: maxGuests, MaxReservationsPerASN: maxGuests,
	}), relay.WithReservationAddressFilter(func(ma.Multiaddr) bool { return true }))
	if err != nil {
		return nil, fmt.Errorf("p2p: starting the relay: %w", err)
	}
	return r, nil
}

func (h *Host) laneID() protocol.ID  { return protocol.ID(fmt.Sprintf(laneProto, h.cfg.Cluster)) }
func (h *Host) reachID() protocol.ID { return protocol.ID(fmt.Sprintf(reachProto, h.cfg.Cluster)) }

// takeStreams lets lanes come over libp2p streams.
func (h *Host) takeStreams() {
	h.kad.host.SetStreamHandler(h.laneID(), func(s network.Stream) {
		h.take(&lane.Stream{Stream: s, Self: h.kad.host.ID()})
	})
	h.kad.host.SetStreamHandler(h.reachID(), func(s network.Stream) {
		if !h.goes(func() { h.answerReach(s) }) {
			s.Reset()
		}
	})
}

// throughRelay says whether an address goes through a relay.
func throughRelay(a string) bool { return strings.Contains(a, circuitSuffix) }

// dialStream opens a lane's connection over a libp2p stream, through a relay where that is needed.
func (h *Host) dialStream(ctx context.Context, p peer.ID, addrs []string) (*lane.Conn, error) {
	for _, a := range addrs {
		if m, err := ma.NewMultiaddr(a); err == nil && throughRelay(a) {
			h.kad.host.Peerstore().AddAddr(p, m, peerstore.TempAddrTTL)
		}
	}
	defer h.kad.allow(p)()
	s, err := h.kad.host.NewStream(network.WithAllowLimitedConn(ctx, "lane"), p, h.laneID())
	if err != nil {
		return nil, fmt.Errorf("p2p: over libp2p: %w", err)
	}
	return h.endpoint.DialStream(ctx, &lane.Stream{Stream: s, Self: h.kad.host.ID()})
}

// keepReachable finds out whether this node can be dialed, and keeps relays where it cannot.
func (h *Host) keepReachable() {
	var next time.Time
	h.every(relayLook, func() {
		now := time.Now()
		if lost := h.dropRelays(now); lost || !now.Before(next) {
			found, public := h.askWhether()
			switch {
			case !found:
				return // nobody to ask
			case public:
				next = now.Add(reachAgain)
				h.leaveRelays()
			default:
				next = now.Add(reachFirst)
				h.reserve()
			}
			h.checkAddrs()
		}
	})
}

// dropRelays forgets relays whose connection is gone, and says whether one is to be found anew.
func (h *Host) dropRelays(now time.Time) (lost bool) {
	h.relays.mu.Lock()
	defer h.relays.mu.Unlock()
	for p, v := range h.relays.hosts {
		if h.kad.isDead(p) || h.kad.host.Network().Connectedness(p) != network.Connected || v.ends.Sub(now) < relayRenew {
			delete(h.relays.hosts, p)
			lost = true
		}
	}
	return lost
}

func (h *Host) leaveRelays() {
	h.relays.mu.Lock()
	defer h.relays.mu.Unlock()
	clear(h.relays.hosts)
}

// dialed are the members that this node has reached over TCP by itself.
func (h *Host) dialed() (l []id.Node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n, k := range h.links {
		if k.ours && k.via == lane.ViaTCP {
			l = append(l, n)
		}
	}
	slices.Sort(l)
	return l
}

// askWhether asks members whether they can dial this node.
func (h *Host) askWhether() (found, public bool) {
	for i, n := range h.dialed() {
		if i == askReach {
			break
		}
		a, err := h.askReach(n)
		if err != nil {
			h.cfg.Logger.Debug("p2p: asking whether this node can be dialed", "peer", n, "err", err)
			continue
		}
		if found = true; a&reachYes != 0 {
			return true, true
		}
	}
	return found, false
}

// reserve gets relays until there are enough.
func (h *Host) reserve() {
	for _, n := range h.dialed() {
		p, err := peer.Decode(string(n))
		if err != nil {
			continue
		}
		h.relays.mu.Lock()
		_, have := h.relays.hosts[p]
		enough := len(h.relays.hosts) >= maxRelays
		h.relays.mu.Unlock()
		if enough {
			return
		}
		if have {
			continue
		}
		v, err := h.reserveWith(n, p)
		if err != nil {
			h.cfg.Logger.Debug("p2p: a member does not relay for this node", "peer", n, "err", err)
			continue
		}
		h.relays.mu.Lock()
		h.relays.hosts[p] = v
		h.relays.mu.Unlock()
		h.cfg.Logger.Info("p2p: nobody can dial this node; it is reached through a relay", "relay", n)
	}
}

var errGuest = errors.New("p2p: it needs a relay itself")

func (h *Host) reserveWith(n id.Node, p peer.ID) (v reservation, err error) {
	if a, err := h.askReach(n); err != nil || a&reachGuest != 0 {
		return v, errors.Join(err, errGuest)
	}
	ctx, cancel := context.WithTimeout(h.ctx, reachFor)
	defer cancel()
	r, err := client.Reserve(ctx, h.kad.host, peer.AddrInfo{ID: p})
	if err != nil {
		return v, err
	}
	h.mu.Lock()
	addrs, _ := h.reachLocked(n)
	h.mu.Unlock()
	for _, a := range addrs {
		if t, err := parseTarget(a); err == nil && loopback(t) == 0 && !throughRelay(a) {
			v.addrs = append(v.addrs, a+"/p2p/"+p.String()+circuitSuffix)
		}
	}
	if len(v.addrs) == 0 {
		return v, errors.New("p2p: it has no address that others can use")
	}
	v.ends = r.Expiration
	return v, nil
}

// askReach asks a member to dial this node.
func (h *Host) askReach(n id.Node) (answer byte, err error) {
	p, err := peer.Decode(string(n))
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(h.ctx, reachFor)
	defer cancel()
	s, err := h.kad.host.NewStream(ctx, p, h.reachID())
	if err != nil {
		return 0, err
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	var b [1]byte
	_, err = io.ReadFull(s, b[:])
	return b[0], err
}

// answerReach dials the node that asks, at the addresses that the view has for it: nothing it says is dialed.
func (h *Host) answerReach(s network.Stream) {
	defer s.Close()
	s.SetDeadline(time.Now().Add(reachFor))
	n := id.Node(s.Conn().RemotePeer().String())
	h.mu.Lock()
	addrs, _ := h.reachLocked(n)
	h.mu.Unlock()
	answer := byte(0)
	if ts, err := targets(n, addrs); err == nil {
		ctx, cancel := context.WithTimeout(h.ctx, dialFor)
		defer cancel()
		if c, err := h.dialAny(ctx, ts); err == nil {
			c.Close()
			answer = reachYes
		}
	}
	if h.relays.guest() {
		answer |= reachGuest
	}
	s.Write([]byte{answer})
}
