package testbed

import (
	"testing"

	"github.com/kadrehq/kadre/internal/testnet"
)

// Namespace is a network namespace with a loopback and one address on the bridge. A nil one is the machine's.
type Namespace = testnet.Namespace

// Bridge makes n network namespaces joined by a bridge, which has one of its own. They go with the test.
func Bridge(t testing.TB, n int) []*Namespace {
	t.Helper()
	NeedRoot(t)
	b := must[*testnet.Bridge](t, "network namespaces")(testnet.NewBridge(t.Context(), n))
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("removing network namespaces: %v", err)
		}
	})
	return b.Spaces
}
