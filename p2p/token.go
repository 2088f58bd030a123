package p2p

import (
	"path/filepath"

	"github.com/kadrehq/kadre/p2p/admit"
)

// NewToken draws a cluster token: 256 random bits as text with a checksum.
func NewToken() string { return admit.NewToken() }

// LoadToken reads the cluster tokens of a file; see [admit.LoadToken].
func LoadToken(path string) (admit.Keys, error) { return admit.LoadToken(path) }

// LoadOrCreateSecret reads the user's secret, drawing it on first use; see [admit.LoadOrCreateSecret].
func LoadOrCreateSecret(path string) (admit.Keys, error) { return admit.LoadOrCreateSecret(path) }

// keys are what this node proves to its peers: the cluster's token, else the user's secret, else, without a
// folder to keep that in, keys nobody else has.
func (c Config) keys() (admit.Keys, error) {
	switch {
	case c.TokenFile != "":
		return admit.LoadToken(c.TokenFile)
	case c.RuntimeDir != "":
		return admit.LoadOrCreateSecret(filepath.Join(c.RuntimeDir, "..", "secret"))
	}
	return admit.NewKeys(), nil
}
