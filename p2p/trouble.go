package p2p

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/admit"
	"github.com/kadrehq/kadre/p2p/lane"
	"github.com/libp2p/go-libp2p/core/crypto"
)

const (
	maxTroubles  = 64               // kept; the oldest goes
	troubleFor   = 10 * time.Minute // after the last time it is told no more
	maxTroubleIs = 300              // bytes of a reason
	tellAgain    = time.Minute      // a trouble that goes on is logged so often: anybody can cause one
)

// Trouble is why a node cannot be reached, or does not let this one in. It is kept until they meet.
type Trouble struct {
	Peer  id.Node   `json:"peer,omitempty"` // "" where only the address is known
	Addr  string    `json:"addr,omitempty"`
	In    bool      `json:"in,omitempty"` // they came to us
	Kind  string    `json:"kind"`         // see Kinds
	Why   string    `json:"why"`
	Last  time.Time `json:"last"`
	Times int       `json:"times"`

	told time.Time // when it was logged
}

// The kinds of trouble.
const (
	TroubleToken   = "wrong token"
	TroubleCluster = "another cluster"
	TroubleVersion = "version"
	TroubleDenied  = "denied"
	TroubleOver    = "replaced" // a later start under the same key was seen
	TroublePeer    = "another node"
	TroubleRefused = "refused"
	TroubleRoute   = "no route"
	TroubleName    = "unknown name"
	TroubleSilent  = "timed out"
	TroubleSlow    = "handshake timed out"
	TroubleOther   = "failed"
)

// troubleOf names the kind of a failure to reach a node.
func troubleOf(err error) string {
	var td *turnedDown
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, admit.ErrToken):
		return TroubleToken
	case errors.Is(err, admit.ErrCluster):
		return TroubleCluster
	case errors.Is(err, admit.ErrVersion):
		return TroubleVersion
	case errors.Is(err, admit.ErrDenied):
		return TroubleDenied
	case errors.As(err, &td) && td.over():
		return TroubleOver
	case errors.Is(err, lane.ErrPeer):
		return TroublePeer
	case errors.Is(err, syscall.ECONNREFUSED):
		return TroubleRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return TroubleRoute
	case errors.As(err, &dns):
		return TroubleName
	case unfinished(err):
		return TroubleSlow
	case errors.As(err, &op) && op.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return TroubleSilent
	}
	return TroubleOther
}

// troubles has what is wrong between this node and others, by the name of the node or else the address.
type troubles struct {
	mu  sync.Mutex
	all map[string]Trouble
}

// note keeps what is wrong. news says that it should be logged.
func (t *troubles) note(x Trouble, err error) (news bool) {
	key := string(x.Peer)
	if key == "" {
		key = x.Addr
	}
	x.Kind, x.Why, x.Last = troubleOf(err), err.Error(), time.Now()
	x.Why = x.Why[:min(len(x.Why), maxTroubleIs)]
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.all[key]
	x.Times, x.told = was.Times+1, was.told
	if news = was.Kind != x.Kind || x.Last.Sub(was.told) > tellAgain; news {
		x.told = x.Last
	}
	if t.all == nil {
		t.all = map[string]Trouble{}
	}
	if t.all[key] = x; len(t.all) > maxTroubles {
		oldest := key
		for k, y := range t.all {
			if y.Last.Before(t.all[oldest].Last) {
				oldest = k
			}
		}
		delete(t.all, oldest)
	}
	return news
}

// over forgets what was wrong with a node or address.
func (t *troubles) over(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, key)
}

// list gives what is wrong, the latest first.
func (t *troubles) list() (l []Trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, x := range t.all {
		if time.Since(x.Last) > troubleFor {
			delete(t.all, k)
			continue
		}
		l = append(l, x)
	}
	slices.SortFunc(l, func(a, b Trouble) int { return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Addr, b.Addr)) })
	return l
}

// Try goes as far towards a node at an address as a stranger can who holds the keys of cfg, and says who answered.
// Where it fails, kind is one of the kinds of trouble. It needs of cfg what joining does: Cluster, and TokenFile or
// RuntimeDir.
func Try(ctx context.Context, cfg Config, addr string) (answered id.Node, kind string, err error) {
	cfg = cfg.withDefaults()
	t, err := parseTarget(addr)
	if err != nil {
		return "", TroubleOther, err
	}
	keys, err := cfg.keys()
	if err != nil {
		return "", TroubleOther, fmt.Errorf("p2p: %w", err)
	}
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return "", TroubleOther, fmt.Errorf("p2p: %w", err)
	}
	gate := admit.Gate{Keys: keys, Cluster: cfg.Cluster}
	e, err := lane.NewEndpoint(key, gate.Speaking(cfg.speaks[0], cfg.speaks[1]))
	if err != nil {
		return "", TroubleOther, fmt.Errorf("p2p: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialFor)
	defer cancel()
	c, err := e.Dial(ctx, t.network, t.addr, t.peer)
	if err != nil {
		return "", troubleOf(err), fmt.Errorf("p2p: %w", err)
	}
	c.Close()
	return id.Node(c.Peer.String()), "", nil
}
