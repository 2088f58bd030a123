package p2p

import (
	"cmp"
	"fmt"
	"net"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// splitPeer cuts a /p2p/ID ending off.
func splitPeer(m ma.Multiaddr) (ma.Multiaddr, peer.ID) {
	t, p := peer.SplitAddr(m)
	if p == "" {
		return m, ""
	}
	return t, p
}

// target is where to dial and who should answer.
type target struct {
	network, addr string
	peer          peer.ID // empty: anybody of the cluster
}

// parseTarget reads host:port or a multiaddr.
func parseTarget(s string) (target, error) {
	if len(s) == 0 || s[0] != '/' {
		if _, _, err := net.SplitHostPort(s); err != nil {
			return target{}, fmt.Errorf("p2p: address %q: want host:port or a multiaddr: %w", s, err)
		}
		return target{"tcp", s, ""}, nil
	}
	m, err := ma.NewMultiaddr(s)
	if err != nil {
		return target{}, fmt.Errorf("p2p: address %q: %w", s, err)
	}
	m, p := splitPeer(m)
	if throughRelay(s) {
		return target{}, fmt.Errorf("p2p: address %q leads through a relay: give one of the relay's own", s)
	}
	network, addr, err := manet.DialArgs(m)
	if err != nil {
		return target{}, fmt.Errorf("p2p: address %q: %w", s, err)
	}
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return target{}, fmt.Errorf("p2p: address %q: only TCP is spoken, not %s", s, network)
	}
	return target{network, addr, p}, nil
}

// targets reads the addresses of a known node; those that are none are left out. Addresses of the network
// come before loopback ones, which mean another machine's own loopback to all but its nodes.
func targets(n id.Node, addrs []string) ([]target, error) {
	p, err := peer.Decode(string(n))
	if err != nil {
		return nil, fmt.Errorf("p2p: %q is no node's ID: %w", n, err)
	}
	var l []target
	for _, a := range addrs {
		if t, err := parseTarget(a); err == nil {
			t.peer = p
			l = append(l, t)
		}
	}
	slices.SortStableFunc(l, func(a, b target) int { return cmp.Compare(loopback(a), loopback(b)) })
	return l, nil
}

func loopback(t target) int {
	if h, _, err := net.SplitHostPort(t.addr); err == nil && net.ParseIP(h).IsLoopback() {
		return 1
	}
	return 0
}

// fullAddrs are transport addresses with the node's ID behind them.
func fullAddrs(n id.Node, addrs []string) []string {
	l := make([]string, len(addrs))
	for i, a := range addrs {
		l[i] = a + "/p2p/" + string(n)
	}
	return l
}
