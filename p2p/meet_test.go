package p2p

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kadrehq/kadre/p2p/admit"
)

// logs is a writer for a logger under test.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

func TestStrangersAreRefused(t *testing.T) {
	var log logs
	good := NewToken()
	tok := token(t, good)
	a := start(t, tok, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	other := NewToken()
	_, err := tryStart(t, token(t, other), func(c *Config) { c.Join = a.Addrs() })
	if !errors.Is(err, admit.ErrToken) || !strings.Contains(err.Error(), "joining") {
		t.Errorf("another token: %v", err)
	}
	until(t, time.Minute, "the listener's word", func() bool { return log.has("different cluster tokens") })
	_, err = tryStart(t, tok, func(c *Config) { c.Join, c.Cluster = a.Addrs(), "other" })
	if !errors.Is(err, admit.ErrCluster) || !strings.Contains(err.Error(), `"default"`) {
		t.Errorf("another cluster: %v", err)
	}
	until(t, time.Minute, "the listener's word", func() bool { return log.has("different clusters") })
	if len(a.Members()) != 1 {
		t.Errorf("members %v", a.Members())
	}
	for _, secret := range []string{good, other, good[8:40], other[8:40]} {
		if log.has(secret) {
			t.Error("a token is in the log")
		}
	}
	// Rotation: a node that accepts both but still proves the old one comes in.
	b := start(t, token(t, good+"\n"+other), func(c *Config) { c.Join = a.Addrs() })
	full(t, a, b)
}

func TestTokenFiles(t *testing.T) {
	good := NewToken()
	wrong := []byte(good)
	if wrong[20]++; wrong[20] > 'z' {
		wrong[20] = 'a'
	}
	exposed := token(t, good)
	if err := os.Chmod(exposed, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file string
		want error
	}{
		"missing":   {filepath.Join(t.TempDir(), "none"), admit.ErrMissing},
		"empty":     {token(t, "\n"), admit.ErrMissing},
		"short":     {token(t, good[:30]), admit.ErrForm},
		"malformed": {token(t, "a token of my own"), admit.ErrForm},
		"mistyped":  {token(t, string(wrong)), admit.ErrChecksum},
		"exposed":   {exposed, admit.ErrExposed},
	} {
		_, err := tryStart(t, c.file, nil)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), good[10:30]) {
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
	}
}

func TestJoinErrors(t *testing.T) {
	t.Parallel()
	tok := token(t, NewToken())
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var wg sync.WaitGroup
	for addr, want := range map[string]string{
		free(t):                "nothing listens there",
		silent.Addr().String(): "does not finish the handshake",
		"nonsense":             "host:port or a multiaddr",
		"/ip4/1.2.3.4/udp/5":   "only TCP",
	} {
		wg.Go(func() {
			t0 := time.Now()
			_, err := tryStart(t, tok, func(c *Config) { c.Join = []string{addr} })
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), addr) {
				t.Errorf("joining %s: %v", addr, err)
			}
			if d := time.Since(t0); d > time.Minute {
				t.Errorf("joining %s took %v", addr, d)
			}
		})
	}
	wg.Wait()
}

func TestListenErrors(t *testing.T) {
	tok := token(t, NewToken())
	a := start(t, tok, nil)
	_, port, _ := net.SplitHostPort(a.ports[0].Addr().String())
	_, err := tryStart(t, tok, func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/" + port} })
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port in use: %v", err)
	}
	if _, err = tryStart(t, "", func(c *Config) { c.Listen = []string{"0.0.0.0:0"} }); err == nil || !strings.Contains(err.Error(), "needs a cluster token") {
		t.Errorf("listening without a token: %v", err)
	}
	if _, err = tryStart(t, tok, func(c *Config) { c.StateDir = a.cfg.StateDir }); err == nil || !strings.Contains(err.Error(), "in use by another node") {
		t.Errorf("a state folder in use: %v", err)
	}
	// A name that means this node among others is no error.
	addr := free(t)
	start(t, tok, func(c *Config) { c.Listen, c.Join = []string{addr}, []string{addr} })
	// By default a node with a token listens everywhere.
	b := start(t, tok, func(c *Config) { c.Listen = nil })
	if b.ports[0].Addr().IP.IsLoopback() || len(b.Addrs()) == 0 {
		t.Errorf("listens on %v", b.Addrs())
	}
}

func TestDeathIsNoticed(t *testing.T) {
	tok := token(t, NewToken())
	a := start(t, tok, nil)
	b := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	c := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	full(t, a, b, c)
	b.Close()
	until(t, time.Minute, "the verdicts", func() bool {
		return slices.Equal(a.kinds(b.ID()), []EventKind{Up, Down}) && slices.Equal(c.kinds(b.ID()), []EventKind{Up, Down})
	})
	until(t, time.Minute, "eviction", func() bool { return a.RoutingTableSize() == 1 && c.RoutingTableSize() == 1 })
	if s := a.Status(); len(s.Gone) != 1 || s.Gone[0].State != "dead" {
		t.Errorf("gone: %+v", s.Gone)
	}
	if err := a.Send(b.ID(), nil); !errors.Is(err, ErrNoLane) {
		t.Errorf("sending to the dead: %v", err)
	}
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "the farewell", func() bool {
		return a.saw(func(e Event) bool {
			return e.Kind == Down && e.Member.ID == c.ID() && e.Member.State == "left"
		})
	})
}

func TestSilenceIsNoticed(t *testing.T) {
	t.Parallel()
	tok := token(t, NewToken())
	stuck := make(chan struct{})
	a := start(t, tok, nil)
	b := start(t, tok, func(c *Config) {
		c.Join = a.Addrs()
		c.Control = nil
	})
	full(t, a, b)
	b.mu.Lock() // b's events stop, and with Host.mu its beats: it lives and says nothing
	b.Host.mu.Lock()
	go func() { <-stuck; b.Host.mu.Unlock(); b.mu.Unlock() }()
	until(t, time.Minute, "suspicion", func() bool {
		return a.saw(func(e Event) bool { return e.Kind == Changed && e.Member.State == "suspect" })
	})
	until(t, time.Minute, "the verdict", func() bool { return slices.Equal(a.kinds(b.ID()), []EventKind{Up, Down}) })
	close(stuck)
	// It comes back under the same epoch, and both sides saw it go.
	want := []EventKind{Up, Down, Up}
	until(t, time.Minute, "one view again", func() bool {
		return slices.Equal(a.kinds(b.ID()), want) && slices.Equal(b.kinds(a.ID()), want)
	})
}

func TestRestartIsANewEpoch(t *testing.T) {
	tok := token(t, NewToken())
	a := start(t, tok, nil)
	b := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	c := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	full(t, a, b, c)
	b.Close()
	again := start(t, tok, func(k *Config) { *k = b.cfg })
	if again.ID() != b.ID() || again.Epoch() <= b.Epoch() {
		t.Fatalf("%s epoch %d after %s epoch %d", again.ID(), again.Epoch(), b.ID(), b.Epoch())
	}
	for _, n := range []*node{a, c} {
		until(t, time.Minute, "down and up", func() bool { return slices.Equal(n.kinds(b.ID()), []EventKind{Up, Down, Up}) })
		until(t, time.Minute, "the new epoch", func() bool {
			return n.saw(func(e Event) bool { return e.Kind == Up && e.Member.Epoch == again.Epoch() })
		})
	}
}

func TestEpochOutlivesTheClock(t *testing.T) {
	s, err := openState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	late := time.Now()
	e1, err := s.epoch(late)
	if err != nil {
		t.Fatal(err)
	}
	if e2, err := s.epoch(late.Add(-time.Hour)); err != nil || e2 != e1+1 {
		t.Errorf("%d after %d, %v", e2, e1, err)
	}
	k1, err := s.key()
	if err != nil {
		t.Fatal(err)
	}
	if k2, err := s.key(); err != nil || !k1.Equals(k2) {
		t.Errorf("another key: %v", err)
	}
	if err := os.Chmod(filepath.Join(s.dir, "node.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := s.key(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("an exposed key: %v", err)
	}
}

func TestRuntimeFolder(t *testing.T) {
	if _, err := thisPlace(); err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "cluster")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// What a dead node left, what one of another namespace left, and nonsense.
	here, _ := thisPlace()
	dead := &runtimeDir{dir, "dead.peer", here, nil}
	if err := dead.write("12D3KooWNUcUCJBxc9WAGo2fDpBnW8Aax44SqsQR6v4rsB3ByZzc", 1, nil, false); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "dead.peer"))
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte(`"pid":`), []byte(`"pid":9999999,"was":`), 1)
	if err := os.WriteFile(filepath.Join(dir, "dead.peer"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "nonsense.peer"), []byte("{"), 0o600)
	elsewhere := &runtimeDir{dir, "else.peer", place{"another boot", 1, 1}, nil}
	if err := elsewhere.write("12D3KooWNUcUCJBxc9WAGo2fDpBnW8Aax44SqsQR6v4rsB3ByZzc", 1, []string{"/ip4/127.0.0.1/tcp/1"}, false); err != nil {
		t.Fatal(err)
	}

	in := func(c *Config) { c.RuntimeDir = dir }
	n1, n2, n3 := start(t, "", in), start(t, "", in), start(t, "", in)
	full(t, n1, n2, n3)
	byRuntime := 0
	for _, m := range n1.Members() {
		if m.Found == "runtime" {
			byRuntime++
		}
	}
	if byRuntime == 0 {
		t.Errorf("members %+v", n1.Members())
	}
	if st, err := os.Stat(filepath.Join(dir, "..", "secret")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the user's secret: %v, %v", st, err)
	}
	until(t, time.Minute, "removal of the dead node's file", func() bool {
		_, err := os.Stat(filepath.Join(dir, "dead.peer"))
		return err != nil
	})
	if _, err := os.Stat(filepath.Join(dir, "else.peer")); err != nil {
		t.Error("the file of another namespace's node was removed")
	}
	n1.Close()
	if _, err := os.Stat(filepath.Join(dir, n1.ID().Short()+peerExt)); err == nil {
		t.Error("a closed node's file is still there")
	}
	// A node of the same folder with a token is another cluster: nobody gets in, nobody falls over.
	start(t, token(t, NewToken()), func(c *Config) { c.RuntimeDir, c.Logger = dir, slog.New(slog.NewTextHandler(io.Discard, nil)) })
	if len(n2.Members()) > 3 {
		t.Errorf("members %v", n2.Members())
	}
}

func TestManyStartAtOnce(t *testing.T) {
	tok := token(t, NewToken())
	a := start(t, tok, nil)
	ns := make([]*node, 8)
	var wg sync.WaitGroup
	for i := range ns {
		wg.Go(func() { ns[i] = start(t, tok, func(c *Config) { c.Join = a.Addrs() }) })
	}
	wg.Wait()
	full(t, append(ns, a)...)
	for _, n := range ns {
		for _, m := range ns {
			if n != m && len(n.kinds(m.ID())) > 1 {
				t.Errorf("%s saw %v of %s", n.ID().Short(), n.kinds(m.ID()), m.ID().Short())
			}
		}
	}
}

func TestHalfFilesAreSwept(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{".x.peer-1": 2 * halfFor, ".y.peer-2": 0, ".z": 2 * halfFor} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := openRuntime(dir, "n")
	if err != nil {
		t.Skip(err)
	}
	if _, err := r.scan(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) != 2 || filepath.Base(left[0]) != ".y.peer-2" || filepath.Base(left[1]) != ".z" {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestJoinOverIPv6(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	l.Close()
	tok := token(t, NewToken())
	a := start(t, tok, func(c *Config) { c.Listen = []string{"[::1]:0"} })
	b := start(t, tok, func(c *Config) { c.Listen, c.Join = []string{"[::1]:0"}, a.Addrs() })
	c := start(t, tok, func(c *Config) { c.Listen, c.Join = []string{"[::1]:0"}, []string{b.ports[0].Addr().String()} })
	full(t, a, b, c)
	if err := a.Send(c.ID(), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "the frame", func() bool { return len(c.got(a.ID())) == 1 })
}

func FuzzPeerFile(f *testing.F) {
	f.Add([]byte(`{"id":"12D3KooWNUcUCJBxc9WAGo2fDpBnW8Aax44SqsQR6v4rsB3ByZzc","epoch":1,"addrs":["/ip4/1.2.3.4/tcp/5"],"pid":7,"place":{"boot":"b","net_ns":4,"pid_ns":5}}`))
	f.Add([]byte(`{"id":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parsePeerFile(b); err == nil && p.ID == "" {
			t.Error("a file without a name was taken")
		}
	})
}

func FuzzTarget(f *testing.F) {
	f.Add("/ip4/127.0.0.1/tcp/80")
	f.Add("localhost:80")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := parseTarget(s); err == nil && p.addr == "" {
			t.Error("no address")
		}
	})
}
