package p2p

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a host under test and what it was told.
type node struct {
	*Host
	cfg Config

	mu     sync.Mutex
	events []Event
	frames map[id.Node][]string
}

// token writes a token file.
func token(t testing.TB, text string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// start starts a host on loopback; change may alter its configuration. The host is closed with the test.
func start(t testing.TB, tokenFile string, change func(*Config)) *node {
	t.Helper()
	n, err := tryStart(t, tokenFile, change)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func tryStart(t testing.TB, tokenFile string, change func(*Config)) (*node, error) {
	t.Helper()
	n := &node{frames: map[id.Node][]string{}}
	n.cfg = Config{
		StateDir: filepath.Join(t.TempDir(), "state"), TokenFile: tokenFile, Listen: []string{"127.0.0.1:0"},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Event: func(e Event) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.events = append(n.events, e)
		},
		Control: func(from id.Node, _ uint64, f []byte) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.frames[from] = append(n.frames[from], string(f))
		},
	}
	if testing.Verbose() {
		n.cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if change != nil {
		change(&n.cfg)
	}
	h, err := Start(context.Background(), n.cfg)
	if err != nil {
		return nil, err
	}
	n.Host = h
	t.Cleanup(func() { h.Close() })
	return n, nil
}

// saw says whether an event came.
func (n *node) saw(is func(Event) bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if is(e) {
			return true
		}
	}
	return false
}

// kinds are the Ups and Downs of a peer, in order.
func (n *node) kinds(peer id.Node) (l []EventKind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Member.ID == peer && e.Kind != Changed {
			l = append(l, e.Kind)
		}
	}
	return l
}

func (n *node) got(from id.Node) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.frames[from]
}

// until waits for a condition.
func until(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// full waits until every node sees all.
func full(t testing.TB, ns ...*node) {
	t.Helper()
	until(t, time.Minute, "full view everywhere", func() bool {
		for _, n := range ns {
			if len(n.Members()) != len(ns) {
				return false
			}
		}
		return true
	})
}

func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
