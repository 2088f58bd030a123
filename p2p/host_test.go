package p2p

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/invariant"
)

func TestChainOfFive(t *testing.T) {
	tok := token(t, NewToken())
	ns := []*node{start(t, tok, func(c *Config) { c.Meta = []byte("zero") })}
	for i := 1; i < 5; i++ {
		ns = append(ns, start(t, tok, func(c *Config) {
			c.Join = []string{ns[i-1].Addrs()[0]}
			c.Meta = fmt.Appendf(nil, "n%d", i)
		}))
	}
	full(t, ns...)
	for _, m := range ns[4].Members() {
		want := map[id.Node]string{ns[4].ID(): "self", ns[3].ID(): "join"}[m.ID]
		if want == "" {
			want = "member"
		}
		if m.Found != want || m.State != "alive" || m.Self != (m.ID == ns[4].ID()) {
			t.Errorf("member %+v: found by %s wanted", m, want)
		}
		if m.ID == ns[0].ID() && string(m.Meta) != "zero" {
			t.Errorf("descriptor %q", m.Meta)
		}
	}
	until(t, time.Minute, "full routing tables", func() bool {
		for _, n := range ns {
			if n.RoutingTableSize() != 4 {
				return false
			}
		}
		return true
	})

	if err := ns[0].UpdateMeta([]byte("changed")); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "the new descriptor", func() bool {
		return ns[4].saw(func(e Event) bool {
			return e.Kind == Changed && e.Member.ID == ns[0].ID() && string(e.Member.Meta) == "changed"
		})
	})
	until(t, time.Minute, "a measured round trip", func() bool { return ns[4].Members()[1].RTT > 0 })
	if b, err := json.Marshal(ns[0].Status()); err != nil || !bytes.Contains(b, []byte(ns[4].ID())) {
		t.Errorf("status %s, %v", b, err)
	}
	if s := ns[0].Status().String(); !strings.Contains(s, "alive") {
		t.Errorf("status %s", s)
	}
}

func TestSendInOrder(t *testing.T) {
	tok := token(t, NewToken())
	a := start(t, tok, nil)
	b := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	full(t, a, b)
	const n = 5000
	for i := range n {
		f := fmt.Appendf(nil, "%d", i)
		if err := a.Send(b.ID(), f); err != nil {
			t.Fatal(err)
		}
		f[0] = 'x' // Send copied it
	}
	big := bytes.Repeat([]byte("x"), MaxFrame)
	if err := b.Send(a.ID(), big); err != nil {
		t.Fatal(err)
	}
	if err := b.Send(a.ID(), append(big, 0)); err == nil {
		t.Error("a frame over the limit was taken")
	}
	if err := b.Send("nobody", nil); !errors.Is(err, ErrNoLane) {
		t.Errorf("sending to nobody: %v", err)
	}
	until(t, time.Minute, "all frames", func() bool { return len(b.got(a.ID())) == n && len(a.got(b.ID())) == 1 })
	for i, f := range b.got(a.ID()) {
		if f != fmt.Sprint(i) {
			t.Fatalf("frame %d is %q", i, f)
		}
	}
	if a.got(b.ID())[0] != string(big) {
		t.Error("the big frame came damaged")
	}
}

func TestFetch(t *testing.T) {
	size := 100 << 20
	if invariant.Race { // a second per 10 MB there, and no more parties at a race
		size /= 8
	}
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(data)
	released := make(chan bool, 100)
	tok := token(t, NewToken())
	a := start(t, tok, func(c *Config) {
		c.Serve = func(from id.Node, req []byte) ([]byte, []byte, func(), error) {
			if string(req) != "all" {
				return nil, nil, nil, errors.New("no such thing")
			}
			return []byte("meta of " + string(from)), data, func() { released <- true }, nil
		}
	})
	b := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	ctx := context.Background()
	dst := make([]byte, len(data))
	meta, n, err := b.Fetch(ctx, a.ID(), []byte("all"), func(meta []byte, n int) ([]byte, error) { return dst[:n], nil })
	if err != nil || n != len(data) || string(meta) != "meta of "+string(b.ID()) {
		t.Fatalf("%q %d %v", meta, n, err)
	}
	if sha256.Sum256(dst) != sha256.Sum256(data) {
		t.Error("the data came damaged")
	}
	<-released
	var remote *RemoteError
	if _, _, err = b.Fetch(ctx, a.ID(), []byte("other"), nil); !errors.As(err, &remote) || remote.Text != "no such thing" {
		t.Errorf("refusal: %v", err)
	}
	if _, _, err = b.Fetch(ctx, a.ID(), []byte("all"), func([]byte, int) ([]byte, error) { return nil, errors.New("no room") }); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("no place: %v", err)
	}
	<-released
	if _, _, err = a.Fetch(ctx, b.ID(), nil, nil); !errors.As(err, &remote) {
		t.Errorf("a node that serves nothing: %v", err)
	}
	s := a.Status()
	if s.BulkOut < uint64(len(data)) || b.Status().BulkIn < uint64(len(data)) {
		t.Errorf("counted %d out", s.BulkOut)
	}
}

func TestFetchEnds(t *testing.T) {
	block := make(chan struct{})
	asked := make(chan bool, 2)
	tok := token(t, NewToken())
	a := start(t, tok, func(c *Config) {
		c.Serve = func(id.Node, []byte) ([]byte, []byte, func(), error) {
			asked <- true
			<-block
			return nil, nil, nil, nil
		}
	})
	defer close(block)
	b := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	if _, _, err := b.Fetch(ctx, a.ID(), nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled fetch: %v", err)
	}
	go func() { <-asked; b.Close() }()
	if _, _, err := b.Fetch(context.Background(), a.ID(), nil, nil); err == nil {
		t.Error("a fetch outlived its host")
	}
}

func TestDirectoryAcrossNodes(t *testing.T) {
	tok := token(t, NewToken())
	ns := []*node{start(t, tok, nil)}
	for range 4 {
		ns = append(ns, start(t, tok, func(c *Config) { c.Join = ns[0].Addrs() }))
	}
	full(t, ns...)
	until(t, time.Minute, "full routing tables", func() bool {
		for _, n := range ns {
			if n.RoutingTableSize() != 4 {
				return false
			}
		}
		return true
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w := ns[1]
	key := Key(sha256.Sum256([]byte("owner/0")))
	r := Record{Key: key, Sub: [20]byte{7}, Value: []byte("here"), Epoch: w.Epoch()}
	if err := w.Directory().Put(ctx, []Record{r}); err != nil {
		t.Fatal(err)
	}
	check := func(n *node) {
		t.Helper()
		rs, err := n.Directory().Get(ctx, key)
		if err != nil || len(rs) != 1 || string(rs[0].Value) != "here" || rs[0].Writer != w.ID() {
			t.Fatalf("%v, %v", rs, err)
		}
	}
	copies := uint64(0)
	for _, n := range ns {
		check(n)
		copies += n.Directory().Stats().Held
	}
	if copies != 3 {
		t.Errorf("%d copies", copies)
	}
	// One holder, not the writer, goes without a word.
	for i, n := range ns {
		if n != w && n.Directory().Stats().Held == 1 {
			n.Close()
			ns = append(ns[:i:i], ns[i+1:]...)
			break
		}
	}
	for _, n := range ns {
		check(n)
	}
	full(t, ns...)
	until(t, time.Minute, "a third copy again", func() bool {
		c := uint64(0)
		for _, n := range ns {
			c += n.Directory().Stats().Held
		}
		return c >= 3
	})
	if err := w.Directory().Delete(ctx, []Record{r}); err != nil {
		t.Fatal(err)
	}
	for _, n := range ns {
		if rs, err := n.Directory().Get(ctx, key); err != nil || len(rs) != 0 {
			t.Fatalf("after the delete: %v, %v", rs, err)
		}
	}
}

// What Kademlia finds need not be a member: then the directory asks over a libp2p stream.
func TestDirectoryWithoutALane(t *testing.T) {
	tok := token(t, NewToken())
	a := start(t, tok, nil)
	b := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	full(t, a, b)
	until(t, time.Minute, "a full routing table", func() bool { return a.RoutingTableSize() == 1 })
	a.Host.mu.Lock()
	l := a.links[b.ID()]
	a.dropLinkLocked(b.ID())
	a.Host.mu.Unlock()
	defer func() {
		a.Host.mu.Lock()
		defer a.Host.mu.Unlock()
		a.links[b.ID()] = l
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r := Record{Key: Key(sha256.Sum256([]byte("k"))), Sub: [20]byte{1}, Value: []byte("v"), Epoch: a.Epoch()}
	if err := a.Directory().Put(ctx, []Record{r}); err != nil {
		t.Fatal(err)
	}
	if held := b.Directory().Stats().Held; held != 1 {
		t.Errorf("the other node holds %d records", held)
	}
}
