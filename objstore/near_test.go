package objstore

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

// nearNet says that some node is of this machine, and counts the answers that come with a checksum.
type nearNet struct {
	*node
	near    id.Node
	checked atomic.Int64
}

func (n *nearNet) Near(o id.Node) bool { return o == n.near }

func (n *nearNet) Fetch(ctx context.Context, from id.Node, req []byte, land func([]byte, int) ([]byte, error)) ([]byte, int, error) {
	meta, k, err := n.node.Fetch(ctx, from, req, land)
	if len(meta) > 0 {
		n.checked.Add(1)
	}
	return meta, k, err
}

// TestOnlyTheNetworkIsChecked pulls from a node of this machine without checksums, and from another one with them.
func TestOnlyTheNetworkIsChecked(t *testing.T) {
	for _, near := range []id.Node{"a", "other"} {
		c := newCluster(t)
		a, b := c.add("a"), c.add("b")
		net := &nearNet{node: b, near: near}
		b.Store.cfg.Net = net
		o, data := object(1), noise(1, 3*ChunkSize+1)
		a.put(o, 0, data)
		if err := b.Pull(t.Context(), info(o, data, 0, "a")); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.get(o), data) {
			t.Error("other bytes came")
		}
		want := int64(4)
		if near == "a" {
			want = 0
		}
		if got := net.checked.Load(); got != want {
			t.Errorf("%s is near: %d of 4 chunks came with a checksum, want %d", near, got, want)
		}
	}
}
