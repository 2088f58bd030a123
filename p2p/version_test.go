package p2p

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/p2p/admit"
)

// TestVersions has hosts of different versions meet, as while a cluster is updated node by node.
func TestVersions(t *testing.T) {
	tok := token(t, NewToken())
	old := start(t, tok, func(c *Config) { c.speaks = [2]byte{7, 8} })
	next := start(t, tok, func(c *Config) { c.speaks, c.Join = [2]byte{8, 9}, old.Addrs() })
	full(t, old, next)
	if err := next.Send(old.ID(), []byte("neighbours")); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "a frame between neighbouring versions", func() bool { return len(old.got(next.ID())) == 1 })

	_, err := tryStart(t, tok, func(c *Config) { c.speaks, c.Join = [2]byte{9, 10}, old.Addrs() })
	if !errors.Is(err, admit.ErrVersion) || !strings.Contains(err.Error(), "ours are 9 to 10, its 7 to 8") {
		t.Errorf("versions that have none in common: %v", err)
	}
}
