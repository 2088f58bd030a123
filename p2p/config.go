package p2p

import (
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/member"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Limits of a host, each stated where it is checked.
const (
	MaxFrame   = 1 << 20        // bytes of one control frame
	MaxMeta    = member.MaxMeta // bytes of a node's descriptor
	MaxLoad    = member.MaxLoad
	MaxRequest = 64 << 10 // bytes of a bulk request
	MaxListen  = 8        // listening addresses
	MaxJoin    = 64       // join addresses
)

// Config says what a host is. Only StateDir is required.
type Config struct {
	// Cluster is the name both ends of a connection must share. Default "default".
	Cluster string
	// StateDir keeps the key ("node.key") and the last epoch ("epoch"); it is created 0700. No default.
	StateDir string
	// RuntimeDir is the cluster's folder of the user, where nodes of one machine and network namespace find
	// each other. Default "": none.
	RuntimeDir string
	// TokenFile holds the cluster token. Default "": listen on loopback only and use the user's secret,
	// kept beside RuntimeDir.
	TokenFile string
	// DenyFile lists nodes that are kept out though they hold the secret, an ID a line; '#' begins a comment. It
	// is read again when it changes, and whom it then names is cut off. Default "": nobody.
	DenyFile string
	// MDNS makes the node look for others on the local networks, and be found. It needs a token,
	// and nothing happens on loopback alone. Default false.
	MDNS bool
	// Listen has host:port or multiaddr entries. Default: every address on a free port with a token,
	// loopback on a free port without.
	Listen []string
	// Join has addresses of nodes of the cluster, host:port or multiaddr; one at least must answer, unless a node
	// that is remembered from an earlier start does. All addresses of a DNS name are tried, and names are resolved
	// again from time to time. Default none.
	Join []string
	// Meta is an opaque descriptor, at most MaxMeta bytes, that peers get with membership. Default none.
	Meta []byte
	// Load is the first UpdateLoad, at most MaxLoad bytes. Default none.
	Load []byte
	// Logger gets refusals and verdicts. Default slog.Default().
	Logger *slog.Logger
	// Control gets every control frame, in order per peer, on the reader goroutine of that peer. It must not
	// keep the frame and must not block: heartbeats wait behind it. A frame may come shortly before the Up
	// event of its sender does. Default: frames are dropped.
	Control func(from id.Node, epoch uint64, frame []byte)
	// Serve answers a bulk request; release, when not nil, is called after the data was written or failed to
	// be. It may block and runs on a goroutine of its own. Default: every request is refused.
	Serve func(from id.Node, req []byte) (meta []byte, data []byte, release func(), err error)
	// Event gets membership events in order from one goroutine. Default: dropped.
	Event func(Event)

	announce []string // of tests: told in place of the addresses listened on
	resolve  resolver // of tests, in place of the system's
	speaks   [2]byte  // of tests: the oldest and newest version spoken; zero: this build's
}

// outside says that the node listens on more than loopback.
func (c Config) outside() bool {
	for _, l := range c.Listen {
		if _, a, err := parseListen(l); err == nil && !a.IP.IsLoopback() {
			return true
		}
	}
	return c.TokenFile != "" && len(c.Listen) == 0
}

// withDefaults returns the configuration with its defaults filled in.
func (c Config) withDefaults() Config {
	if c.Cluster == "" {
		c.Cluster = "default"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Control == nil {
		c.Control = func(id.Node, uint64, []byte) {}
	}
	if c.Serve == nil {
		c.Serve = func(id.Node, []byte) ([]byte, []byte, func(), error) {
			return nil, nil, nil, fmt.Errorf("p2p: this node serves no data")
		}
	}
	if c.resolve == nil {
		c.resolve = net.DefaultResolver
	}
	if c.Event == nil {
		c.Event = func(Event) {}
	}
	return c
}

// validate checks what can be checked without touching the disk or the network.
func (c Config) validate() error {
	switch {
	case c.StateDir == "":
		return fmt.Errorf("p2p: no state folder given: set Config.StateDir")
	case len(c.Cluster) > maxCluster:
		return fmt.Errorf("p2p: cluster name of %d bytes: at most %d", len(c.Cluster), maxCluster)
	case len(c.Meta) > MaxMeta:
		return fmt.Errorf("p2p: descriptor of %d bytes: at most %d", len(c.Meta), MaxMeta)
	case len(c.Load) > MaxLoad:
		return fmt.Errorf("p2p: load of %d bytes: at most %d", len(c.Load), MaxLoad)
	case len(c.Listen) > MaxListen:
		return fmt.Errorf("p2p: %d listening addresses: at most %d", len(c.Listen), MaxListen)
	case len(c.Join) > MaxJoin:
		return fmt.Errorf("p2p: %d join addresses: at most %d", len(c.Join), MaxJoin)
	case c.MDNS && c.TokenFile == "":
		return fmt.Errorf("p2p: looking for nodes on the local network needs a cluster token: without one a node listens on loopback only")
	case len(c.Join) > 0 && c.TokenFile == "" && c.RuntimeDir == "":
		return fmt.Errorf("p2p: joining needs a shared secret: give a token file, or a runtime folder to use the user's own")
	}
	if c.RuntimeDir != "" {
		if s, err := os.Stat(c.RuntimeDir); err != nil || !s.IsDir() {
			return fmt.Errorf("p2p: runtime folder %s is not there (%v): create it 0700 first", c.RuntimeDir, err)
		}
	}
	for _, l := range c.Listen {
		_, a, err := parseListen(l)
		if err != nil {
			return err
		}
		if c.TokenFile == "" && !a.IP.IsLoopback() {
			return fmt.Errorf("p2p: listening on %s needs a cluster token: without one a node listens on loopback only; make one with `kadre token new` and give it with --token-file", l)
		}
	}
	return nil
}

// parseListen gives the network ("tcp4" or "tcp6") and address of a listening address. Never "tcp": that
// would bind [::] for 0.0.0.0 and hide the IPv4 addresses from libp2p.
func parseListen(s string) (string, *net.TCPAddr, error) {
	if len(s) > 0 && s[0] == '/' {
		m, err := ma.NewMultiaddr(s)
		if err != nil {
			return "", nil, fmt.Errorf("p2p: listening address %q: %w", s, err)
		}
		m, _ = splitPeer(m)
		network, addr, err := manet.DialArgs(m)
		if err != nil || (network != "tcp4" && network != "tcp6") {
			return "", nil, fmt.Errorf("p2p: listening address %q: want /ip4/…/tcp/… or /ip6/…/tcp/…", s)
		}
		s = addr
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", nil, fmt.Errorf("p2p: listening address %q: want host:port or a multiaddr: %w", s, err)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	a, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return "", nil, fmt.Errorf("p2p: listening address %q: %w", s, err)
	}
	if a.IP.To4() != nil {
		return "tcp4", a, nil
	}
	return "tcp6", a, nil
}
