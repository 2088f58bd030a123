package p2p

import "github.com/kadrehq/kadre/p2p/admit"

// NewToken draws a cluster token: 256 random bits as text with a checksum.
func NewToken() string { return admit.NewToken() }

// LoadToken reads the cluster tokens of a file; see [admit.LoadToken].
func LoadToken(path string) (admit.Keys, error) { return admit.LoadToken(path) }

// LoadOrCreateSecret reads the user's secret, drawing it on first use; see [admit.LoadOrCreateSecret].
func LoadOrCreateSecret(path string) (admit.Keys, error) { return admit.LoadOrCreateSecret(path) }
