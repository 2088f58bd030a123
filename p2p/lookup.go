package p2p

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/directory"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	kb "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/peer"
)

// lookup watches one of the DHT's lookups and ends it as soon as the directory.Copies closest nodes that it heard of
// have answered. The DHT itself would then ask the rest of its bucketSize closest and wait for every question that is
// under way: for the slowest of a dozen nodes, on which nothing depends.
type lookup struct {
	isDead func(peer.ID) bool
	target kb.ID
	stop   context.CancelFunc

	mu   sync.Mutex
	seen map[peer.ID]standing
	done []peer.ID // the closest, once all of them have answered
}

// standing is what a lookup knows of a node.
type standing byte

const (
	heardOf standing = iota
	answers
	fails
)

// lookupKey is where a context has its lookup.
type lookupKey struct{}

func lookupOf(ctx context.Context) *lookup {
	l, _ := ctx.Value(lookupKey{}).(*lookup)
	return l
}

// answered notes a node's answer.
func (l *lookup) answered(p peer.ID, closer []*pb.Message_Peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[p] = answers
	for _, c := range closer[:min(len(closer), 2*bucketSize)] {
		l.hearLocked(peer.ID(c.GetId()))
	}
	l.lookLocked()
}

// failed notes that a node does not answer.
func (l *lookup) failed(p peer.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[p] = fails
	l.lookLocked()
}

func (l *lookup) hearLocked(p peer.ID) {
	if _, ok := l.seen[p]; !ok && !l.isDead(p) {
		l.seen[p] = heardOf
	}
}

// lookLocked ends the lookup if the closest have answered.
func (l *lookup) lookLocked() {
	if l.done != nil {
		return
	}
	near := l.closestLocked()
	if len(near) < directory.Copies || slices.ContainsFunc(near, func(p peer.ID) bool { return l.seen[p] != answers }) {
		return // of fewer nodes than that the DHT asks all
	}
	l.done = near
	l.stop()
}

// closestLocked are the closest nodes that did not fail.
func (l *lookup) closestLocked() []peer.ID {
	ps := make([]peer.ID, 0, len(l.seen))
	for p, s := range l.seen {
		if s != fails {
			ps = append(ps, p)
		}
	}
	ps = kb.SortClosestPeers(ps, l.target)
	return ps[:min(len(ps), directory.Copies)]
}

// closest looks up the nodes closest to key, this one among them.
func (k *kademlia) closest(ctx context.Context, key directory.Key) ([]id.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupFor)
	defer cancel()
	target := kb.ConvertKey(string(key[:]))
	l := &lookup{isDead: k.isDead, target: target, stop: cancel, seen: map[peer.ID]standing{k.host.ID(): answers}}
	for _, p := range k.dht.RoutingTable().NearestPeers(target, bucketSize) {
		l.seen[p] = heardOf
	}
	if len(l.seen) > 1 {
		found, err := k.dht.GetClosestPeers(context.WithValue(ctx, lookupKey{}, l), string(key[:]))
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.done == nil {
			if err != nil && len(found) == 0 {
				return nil, fmt.Errorf("p2p: Kademlia lookup: %w", err)
			}
			found = kb.SortClosestPeers(append(found, k.host.ID()), target)
			l.done = found[:min(len(found), directory.Copies)]
		}
	} else {
		l.done = []peer.ID{k.host.ID()}
	}
	names := make([]id.Node, 0, len(l.done))
	for _, p := range l.done {
		names = append(names, id.Node(p.String()))
	}
	return names, nil
}
