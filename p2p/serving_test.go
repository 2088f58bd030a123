package p2p

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestOnePeerCannotTakeAllStreams has one member with as many requests under way as it may have.
func TestOnePeerCannotTakeAllStreams(t *testing.T) {
	t.Parallel()
	tok := token(t, NewToken())
	var all []*node
	for range 3 {
		n, err := tryStart(t, tok, func(c *Config) {
			if len(all) > 0 {
				c.Join = []string{all[0].Addrs()[0]}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	server, greedy, other := all[0], all[1], all[2]
	p, err := peer.Decode(string(greedy.ID()))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(n *node) error {
		_, err := n.askStream(context.Background(), server.ID(), []byte{0})
		return err
	}
	answered := func(n *node) {
		t.Helper()
		end := time.Now().Add(time.Minute)
		for err := ask(n); err != nil; err = ask(n) { // on a busy machine it may time out
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	answered(greedy)
	answered(other)
	served := func() int {
		server.serving.mu.Lock()
		defer server.serving.mu.Unlock()
		return server.serving.by[p]
	}
	for end := time.Now().Add(time.Minute); served() > 0; <-time.After(time.Millisecond) { // those before are about to end
		if time.Now().After(end) {
			t.Fatal("a request does not end")
		}
	}
	for n := range maxPerPeer {
		if !server.serving.enter(p) {
			t.Fatalf("only %d of %d requests are served", n, maxPerPeer)
		}
	}
	if err := ask(greedy); err == nil {
		t.Error("one request more than allowed is answered")
	}
	answered(other)
	server.serving.leave(p)
	answered(greedy)
}
