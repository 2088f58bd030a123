package p2p

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/directory"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	kb "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"
)

// TestLookupEndsWithTheClosest has a lookup end when the closest nodes that it heard of and that live have answered,
// and not before.
func TestLookupEndsWithTheClosest(t *testing.T) {
	target := kb.ConvertKey("target")
	var ps []peer.ID
	for i := range 12 {
		ps = append(ps, peer.ID(fmt.Sprint("peer ", i)))
	}
	ps = kb.SortClosestPeers(ps, target) // ps[0] is the closest
	dead, stopped := ps[2], false
	l := &lookup{
		isDead: func(p peer.ID) bool { return p == dead }, target: target, stop: func() { stopped = true },
		seen: map[peer.ID]standing{ps[11]: answers, ps[6]: heardOf, ps[7]: heardOf, ps[8]: heardOf},
	}
	named := func(ps ...peer.ID) (l []*pb.Message_Peer) {
		for _, p := range ps {
			l = append(l, &pb.Message_Peer{Id: []byte(p)})
		}
		return l
	}
	for i, step := range []func(){
		func() { l.answered(ps[6], named(ps[1], dead, ps[4])) },
		func() { l.answered(ps[7], named(ps[4], ps[6])) },
		func() { l.answered(ps[4], named(ps[0], ps[3])) },
		func() { l.failed(ps[1]) },
		func() { l.answered(ps[3], nil) },
		func() { l.answered(ps[8], nil) },
	} {
		if step(); stopped {
			t.Fatalf("it ended with step %d: %v", i, l.seen)
		}
	}
	l.answered(ps[0], named(ps[5]))
	if want := []peer.ID{ps[0], ps[3], ps[4]}; !stopped || !slices.Equal(l.done, want) {
		t.Errorf("ended %v with %v, want %v", stopped, l.done, want)
	}
	l.answered(ps[5], named(ps[9])) // one that was on its way
	if len(l.done) != directory.Copies || l.done[0] != ps[0] {
		t.Errorf("an answer after the end changed it: %v", l.done)
	}
}

// TestLookupsGoOverLanes has members look up without a connection of libp2p among them, and find the same nodes.
func TestLookupsGoOverLanes(t *testing.T) {
	tok := token(t, NewToken())
	ns := []*node{start(t, tok, nil)}
	for range 5 {
		ns = append(ns, start(t, tok, func(c *Config) { c.Join = ns[0].Addrs() }))
	}
	full(t, ns...)
	until(t, time.Minute, "full routing tables", func() bool {
		return !slices.ContainsFunc(ns, func(n *node) bool { return n.RoutingTableSize() != len(ns)-1 })
	})
	for i := range 20 {
		key := Key(sha256.Sum256([]byte(fmt.Sprint(i))))
		var all []id.Node
		for _, n := range ns {
			all = append(all, n.ID())
		}
		slices.SortFunc(all, func(a, b id.Node) int {
			if ns[0].kad.closer(key, a, b) {
				return -1
			}
			return 1
		})
		for _, n := range ns {
			var found []id.Node
			until(t, time.Minute, "a lookup", func() bool { // on a busy machine an answer may be late
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				var err error
				found, err = n.kad.closest(ctx, key)
				return err == nil && slices.Equal(found, all[:directory.Copies])
			})
		}
	}
	for _, n := range ns {
		if c := n.kad.host.Network().Conns(); len(c) > 0 {
			t.Errorf("%s has %d libp2p connections: %v", n.ID().Short(), len(c), c)
		}
	}
}

// FuzzKademlia has garbage answered with an error, and a question with an answer that parses.
func FuzzKademlia(f *testing.F) {
	n := start(f, token(f, NewToken()), nil)
	ask, err := proto.Marshal(pb.NewMessage(pb.Message_FIND_NODE, []byte("key"), 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ask)
	f.Add([]byte{})
	f.Add([]byte{8, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		ans, err := n.kad.serve(n.ID(), b)
		if err == nil && (ans[0] != tagKademlia || proto.Unmarshal(ans[1:], new(pb.Message)) != nil) {
			t.Errorf("%x was answered with %x", b, ans)
		}
	})
}
