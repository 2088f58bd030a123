package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/admit"
)

func TestMembersAreRemembered(t *testing.T) {
	t.Parallel()
	tok := token(t, NewToken())
	addr := free(t)
	a := start(t, tok, func(c *Config) { c.Listen = []string{addr} })
	b := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	full(t, a, b)
	path := filepath.Join(b.cfg.StateDir, knownName)
	until(t, time.Minute, "the file", func() bool { _, err := os.Stat(path); return err == nil })
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	b.Close()
	// It starts again without anybody to join, and with one to join who is gone.
	for _, join := range [][]string{nil, {free(t)}} {
		again := start(t, tok, func(c *Config) { *c = b.cfg; c.Join = join })
		full(t, a, again)
		if m := again.Members()[1]; m.ID != a.ID() || m.Found != "remembered" {
			t.Errorf("found %+v", m)
		}
		again.Close()
	}
	// Another cluster's members are no use, and a damaged file is no reason not to start.
	if l, err := a.state.readKnown("other"); err != nil || len(l) > 0 {
		t.Errorf("%v, %v", l, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, tok, func(c *Config) { *c = b.cfg; c.Join = nil }).Close()
}

func TestDenied(t *testing.T) {
	t.Parallel()
	var log logs
	tok := token(t, NewToken())
	list := filepath.Join(t.TempDir(), "denied")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# nobody yet\n")
	a := start(t, tok, func(c *Config) { c.DenyFile, c.Logger = list, slog.New(slog.NewTextHandler(&log, nil)) })
	b := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	c := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	full(t, a, b, c)
	write("nonsense\n")
	until(t, time.Minute, "a word on the nonsense", func() bool { return log.has("stays as it was") })
	write(fmt.Sprintf("\n%s # stolen\n", b.ID()))
	until(t, time.Minute, "the cut", func() bool { return slices.Equal(a.kinds(b.ID()), []EventKind{Up, Down}) })
	until(t, time.Minute, "a refusal that says why", func() bool { return log.has("--deny-file") })
	// It does not come in again, by whatever way.
	if _, err := tryStart(t, tok, func(c *Config) { *c = b.cfg; c.StateDir = clone(t, b.cfg.StateDir); c.Join = a.Addrs() }); !errors.Is(err, admit.ErrDenied) {
		t.Errorf("joining: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := (net4dir{b.Host}).h.askStream(ctx, a.ID(), nil); err == nil {
		t.Error("a denied node's libp2p connection is served")
	}
	if len(a.Members()) != 2 || len(c.Members()) != 3 {
		t.Errorf("members %d and %d", len(a.Members()), len(c.Members()))
	}
	// And is let in again.
	write("")
	until(t, time.Minute, "one view again", func() bool { return len(a.Members()) == 3 && len(b.Members()) == 3 })
	if _, err := tryStart(t, tok, func(c *Config) { c.DenyFile = list + "x" }); err == nil {
		t.Error("a list that is not there was taken for an empty one")
	}
}

// clone copies a node's key, for a second node that claims to be the same.
func clone(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	b, err := os.ReadFile(filepath.Join(dir, "node.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "node.key"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// names is a resolver of its own.
type names struct {
	mu sync.Mutex
	at map[string][]string
}

func (n *names) LookupIPAddr(_ context.Context, host string) (l []net.IPAddr, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.at[host] {
		l = append(l, net.IPAddr{IP: net.ParseIP(s)})
	}
	if len(l) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return l, nil
}

func (n *names) set(host string, ips ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at[host] = ips
}

// A name that stands for several nodes, for some that are not there, and for the node itself.
func TestJoinByName(t *testing.T) {
	t.Parallel()
	tok := token(t, NewToken())
	dns := &names{at: map[string][]string{}}
	_, port, _ := net.SplitHostPort(free(t))
	node := func(i int) *node {
		return start(t, tok, func(c *Config) {
			c.Listen = []string{fmt.Sprintf("127.0.0.%d:%s", 10+i, port)}
			c.Join, c.resolve = []string{"nodes.test:" + port}, dns
		})
	}
	dns.set("nodes.test", "127.0.0.10", "127.0.0.11", "127.0.0.12", "127.0.0.99")
	a := node(0) // it finds itself, and nobody else: that is where a cluster begins
	b, c := node(1), node(2)
	full(t, a, b, c)
	if _, err := tryStart(t, tok, func(c *Config) { c.Join, c.resolve = []string{"nobody.test:1"}, dns }); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("a name that is none: %v", err)
	}
}

// Two that started when the name stood for themselves alone find each other once it stands for both.
func TestNamesAreResolvedAgain(t *testing.T) {
	t.Parallel()
	tok := token(t, NewToken())
	_, port, _ := net.SplitHostPort(free(t))
	var ns []*node
	var dns []*names
	for i := range 2 {
		d := &names{at: map[string][]string{"nodes.test": {fmt.Sprintf("127.0.0.%d", 20+i)}}}
		dns = append(dns, d)
		ns = append(ns, start(t, tok, func(c *Config) {
			c.Listen = []string{fmt.Sprintf("127.0.0.%d:%s", 20+i, port)}
			c.Join, c.resolve = []string{"/dns4/nodes.test/tcp/" + port}, d
		}))
	}
	dns[0].set("nodes.test", "127.0.0.20", "127.0.0.21")
	full(t, ns...)
}

func FuzzKnown(f *testing.F) {
	f.Add([]byte(`{"cluster":"c","peers":[{"id":"12D3KooWNUcUCJBxc9WAGo2fDpBnW8Aax44SqsQR6v4rsB3ByZzc","epoch":1,"addrs":["/ip4/1.2.3.4/tcp/5"],"seen":1795424657}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseKnown(b, "c", time.Unix(1795424657, 0))
		if len(l) > maxKnown || err != nil && len(l) > 0 {
			t.Errorf("%d members, %v", len(l), err)
		}
	})
}

func FuzzDenied(f *testing.F) {
	f.Add([]byte("# a list\n12D3KooWNUcUCJBxc9WAGo2fDpBnW8Aax44SqsQR6v4rsB3ByZzc # one\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := parseDenied(b); err == nil && len(l) > len(b)/2 {
			t.Errorf("%d nodes of %d bytes", len(l), len(b))
		}
	})
}

func TestMDNSPackets(t *testing.T) {
	names := admit.NewKeys().Names("mdns default")
	if other := admit.NewKeys().Names("mdns default"); len(names) != 1 || other[0] == names[0] {
		t.Fatalf("%v, %v", names, other)
	}
	service := []string{"_kadre-" + names[0] + "._tcp.local."}
	q, err := question(service)
	if asked, found := parseMDNS(q, service); err != nil || !asked || found != nil {
		t.Errorf("%v, %v, %v", asked, found, err)
	}
	if asked, _ := parseMDNS(q, []string{"_other._tcp.local."}); asked {
		t.Error("a question for another service was taken")
	}
	f := foundNode{"12D3KooWNUcUCJBxc9WAGo2fDpBnW8Aax44SqsQR6v4rsB3ByZzc", 7, []string{"/ip4/1.2.3.4/tcp/5", "/ip6/::1/tcp/6"}}
	a, err := answer(service, f)
	if err != nil {
		t.Fatal(err)
	}
	asked, found := parseMDNS(a, service)
	if asked || len(found) != 1 || found[0].id != f.id || found[0].epoch != 7 || !slices.Equal(found[0].addrs, f.addrs) {
		t.Errorf("%v, %v", asked, found)
	}
	if _, found = parseMDNS(a, []string{"_other._tcp.local."}); found != nil {
		t.Error("an answer for another service was taken")
	}
}

func FuzzMDNS(f *testing.F) {
	service := []string{"_kadre-0011223344556677._tcp.local."}
	q, _ := question(service)
	a, _ := answer(service, foundNode{"12D3KooWNUcUCJBxc9WAGo2fDpBnW8Aax44SqsQR6v4rsB3ByZzc", 7, []string{"/ip4/1.2.3.4/tcp/5"}})
	f.Add(q)
	f.Add(a)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, found := parseMDNS(b, service)
		for _, n := range found {
			if n.id == id.Node("") || len(n.addrs) == 0 || len(found) > mdnsRecords {
				t.Errorf("%+v", n)
			}
		}
	})
}
