package p2p

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"
)

// TestFoundByRecord has two nodes that know nothing of each other but what Kademlia has: as parts of a cluster that
// were apart for so long that their views have forgotten each other.
func TestFoundByRecord(t *testing.T) {
	t.Parallel()
	tok := token(t, NewToken())
	a, b := start(t, tok, nil), start(t, tok, nil)
	p, err := peer.Decode(string(a.ID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range a.addrs() {
		b.kad.host.Peerstore().AddAddr(p, ma.StringCast(s), peerstore.PermanentAddrTTL)
	}
	if _, err := b.kad.dht.RoutingTable().TryAddPeer(p, true, false); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "a sees b", func() bool {
		if err := b.writeCoarse(b.where()); err != nil {
			t.Log(err) // on a busy machine a stream may time out
		}
		a.seekRecords(map[id.Node]sought{})
		return slices.ContainsFunc(a.Members(), func(m Member) bool { return m.ID == b.ID() && m.Found == "record" })
	})
	full(t, a, b)
	if s := a.Directory().Stats(); s.Held != 0 || s.Hits != 0 || s.Misses != 0 || s.Own != 0 {
		t.Errorf("coarse records are counted: %+v", s)
	}
	key := b.rendezvousKey()
	leave, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.Leave(leave); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "the record of who left is gone", func() bool {
		rs, err := a.dir.GetCoarse(leave, key)
		return err == nil && !slices.ContainsFunc(rs, func(r Record) bool { return r.Writer == b.ID() })
	})
}

func TestProviders(t *testing.T) {
	t.Parallel()
	tok := token(t, NewToken())
	ns := []*node{start(t, tok, nil)}
	for range 3 {
		ns = append(ns, start(t, tok, func(c *Config) { c.Join = ns[0].Addrs() }))
	}
	full(t, ns...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	sum := [32]byte{1, 2, 3}
	provided := func(by ...*node) {
		t.Helper()
		var got []id.Node
		until(t, time.Minute, "the providers", func() bool {
			var err error
			got, err = ns[0].Providers(ctx, sum)
			return err == nil && len(got) == len(by) && !slices.ContainsFunc(by, func(n *node) bool { return !slices.Contains(got, n.ID()) })
		})
	}
	for _, n := range ns[1:] {
		if err := n.Provide(ctx, sum); err != nil {
			t.Fatal(err)
		}
	}
	provided(ns[1:]...)
	if got, err := ns[0].Providers(ctx, [32]byte{9}); err != nil || len(got) > 0 {
		t.Errorf("%v provide what nobody has: %v", got, err)
	}
	ns[3].Close() // whose record stays
	provided(ns[1:3]...)
	for i := range maxProvided + 1 {
		err := ns[1].Provide(ctx, [32]byte{200, byte(i)})
		if last := i >= maxProvided-1; (err != nil) != last || last && !strings.Contains(err.Error(), "already") {
			t.Fatalf("thing %d: %v", i, err)
		}
	}
}

func FuzzWhere(f *testing.F) {
	f.Add("/ip4/127.0.0.1/tcp/1\n")
	f.Add("\n\n/ip4")
	f.Fuzz(func(t *testing.T, s string) {
		if l := parseWhere(s); len(l) > len(s)/2+1 {
			t.Errorf("%d addresses of %q", len(l), s)
		}
	})
}
