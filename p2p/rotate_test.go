package p2p

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/admit"
)

// retoken writes a node's token file anew and waits until the node goes by it.
func retoken(t *testing.T, n *node, tokens ...string) {
	t.Helper()
	text := ""
	for _, s := range tokens {
		text += s + "\n"
	}
	keys, err := admit.Parse(tokens...)
	if err == nil {
		err = os.WriteFile(n.cfg.TokenFile, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "the new tokens", func() bool { return slices.Equal(n.Status().Tokens, keys.Fingerprints()) })
}

// TestRotation changes the token of a running cluster, node by node, while frames flow: none is lost, and no node is
// taken for dead. A member that was forgotten is cut off once the old token is dropped.
func TestRotation(t *testing.T) {
	t.Parallel()
	before, after := NewToken(), NewToken()
	var log logs
	var all []*node
	for i := range 4 {
		all = append(all, start(t, token(t, before), func(c *Config) {
			if i > 0 {
				c.Join = all[0].Addrs()
			}
			if i == 0 {
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			}
		}))
	}
	full(t, all...)
	ns, forgotten := all[:3], all[3]
	sent := 0
	chatter := func() {
		t.Helper()
		for _, a := range ns {
			for _, b := range ns {
				if a != b {
					if err := a.Send(b.ID(), []byte(strconv.Itoa(sent))); err != nil {
						t.Fatalf("%s to %s: %v", a.ID().Short(), b.ID().Short(), err)
					}
				}
			}
		}
		sent++
	}
	old := lanesOf(ns)
	for _, tokens := range [][]string{{before, after}, {after, before}, {after}} {
		for _, n := range ns {
			chatter()
			retoken(t, n, tokens...)
			chatter()
		}
	}
	// All prove the new token on new lanes, and the one that cannot is gone.
	until(t, time.Minute, "new lanes", func() bool {
		now := lanesOf(ns)
		for k, l := range old {
			if m := now[k]; m == 0 || m == l {
				return false
			}
		}
		return true
	})
	chatter()
	for _, n := range ns {
		until(t, time.Minute, "the end of the forgotten node", func() bool { return slices.Equal(n.kinds(forgotten.ID()), []EventKind{Up, Down}) })
	}
	for _, a := range ns {
		for _, b := range ns {
			if a == b {
				continue
			}
			until(t, time.Minute, "all frames", func() bool { return len(b.got(a.ID())) == sent })
			for i, f := range b.got(a.ID()) {
				if f != strconv.Itoa(i) {
					t.Fatalf("frame %d of %s is %q", i, a.ID().Short(), f)
				}
			}
			if k := a.kinds(b.ID()); !slices.Equal(k, []EventKind{Up}) {
				t.Errorf("%s saw %v of %s", a.ID().Short(), k, b.ID().Short())
			}
		}
	}
	if _, err := tryStart(t, token(t, before), func(c *Config) { c.Join = all[0].Addrs() }); !errors.Is(err, admit.ErrToken) {
		t.Errorf("a node with the old token alone: %v", err)
	}
	late := start(t, token(t, after), func(c *Config) { c.Join = all[1].Addrs() })
	full(t, append(slices.Clone(ns), late)...)
	for _, s := range []string{before, after, before[10:40], after[10:40]} {
		if log.has(s) {
			t.Error("a token is in the log")
		}
	}
}

// lanesOf names the control lanes between nodes, by who has them.
func lanesOf(ns []*node) map[[2]id.Node]uint64 {
	l := map[[2]id.Node]uint64{}
	for _, a := range ns {
		for _, b := range ns {
			if k := a.link(b.ID()); a != b && k != nil {
				l[[2]id.Node{a.ID(), b.ID()}] = k.lane
			}
		}
	}
	return l
}

// TestBrokenTokenFile has a node go on with what it had while its token file is of no use.
func TestBrokenTokenFile(t *testing.T) {
	t.Parallel()
	var log logs
	good := NewToken()
	wrong := []byte(good)
	if wrong[20]++; wrong[20] > 'z' {
		wrong[20] = 'a'
	}
	tok := token(t, good)
	a := start(t, tok, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	prints := a.Status().Tokens
	for _, c := range []struct {
		text, says string
		mode       os.FileMode
	}{
		{"", "no token", 0o600}, {"my token", "not a cluster token", 0o600}, {string(wrong), "checksum", 0o600}, {good, "readable by others", 0o644},
	} {
		if err := errors.Join(os.WriteFile(tok, []byte(c.text), 0o600), os.Chmod(tok, c.mode)); err != nil {
			t.Fatal(err)
		}
		until(t, time.Minute, "a word on "+c.says, func() bool { return log.has(c.says) })
	}
	if err := os.Remove(tok); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "a word on the file that is gone", func() bool { return log.has("does not exist") })
	if now := a.Status().Tokens; !slices.Equal(now, prints) {
		t.Errorf("tokens %v after %v", now, prints)
	}
	b := start(t, token(t, good), func(c *Config) { c.Join = a.Addrs() })
	full(t, a, b)
	if log.has(good[10:40]) || log.has(string(wrong[10:40])) {
		t.Error("a token is in the log")
	}
}
