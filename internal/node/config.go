package node

import (
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"runtime"

	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
)

// Config says what a node is. The zero value works: a node of the cluster "default" with all CPUs of the
// machine, on loopback.
type Config struct {
	// Cluster is the name of the cluster. Default "default".
	Cluster string
	// TokenFile holds the cluster token. Default "": loopback only, with the user's own secret.
	TokenFile string
	// Join has addresses of nodes of the cluster. Default: none.
	Join []string
	// Listen has the addresses to listen on. Default: see p2p.Config.
	Listen []string
	// CPUs is how many CPUs tasks may use at once. Default: GOMAXPROCS.
	CPUs float64
	// Resources are named amounts that tasks and actors may ask for. Default: none.
	Resources map[string]float64
	// Labels describe the node. Default: none.
	Labels map[string]string
	// ObjectStoreMemory is the size of the arena in bytes. Default: see arena.Config; at most 1 GiB when Private.
	ObjectStoreMemory int64
	// SpillDir is an existing folder in which the node makes one of its own for objects that do not fit into the
	// arena. Default: spill in the state folder.
	SpillDir string
	// StateDir keeps the node's key, logs and fetched executables. Default: the first free node-N under
	// $XDG_STATE_HOME/kadre/<cluster>, or a temporary one when Private.
	StateDir string
	// Socket is where processes attach. Default: <short name>.sock in the runtime folder.
	Socket string
	// Metrics is the address, host:port, on which metrics are served to Prometheus; none where it is empty.
	Metrics string
	// NoMDNS turns off discovery on the local network, which takes a token and an address that is not loopback.
	// Default false.
	NoMDNS bool
	// DenyFile lists nodes that are kept out; see p2p.Config. Default: nobody.
	DenyFile string
	// Private nodes have no peers, no listener and are not found by drivers. Default false.
	Private bool
	// RuntimeDir replaces the user's runtime folder; the cluster's folder is made in it. Default: see doc.go.
	RuntimeDir string
	// Logger gets what the node has to say. Default: slog.Default().
	Logger *slog.Logger
}

const (
	maxCPUs          = 4096
	minStore         = 1 << 20 // a smaller store holds next to nothing
	privateStoreSize = 1 << 30 // the most an embedded node's arena takes unless told otherwise
)

var clusterName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

func (c Config) withDefaults() Config {
	if c.Cluster == "" {
		c.Cluster = "default"
	}
	if c.CPUs == 0 {
		c.CPUs = float64(runtime.GOMAXPROCS(0))
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	switch {
	case !clusterName.MatchString(c.Cluster):
		return fmt.Errorf("node: cluster name %q: want 1 to 64 of letters, digits, '_', '-' and '.', not starting with '.'", c.Cluster)
	case !(c.CPUs > 0 && c.CPUs <= maxCPUs):
		return fmt.Errorf("node: %v CPUs: want more than 0 and at most %d", c.CPUs, maxCPUs)
	case c.ObjectStoreMemory < 0:
		return fmt.Errorf("node: object store of %d bytes: want a positive size, or 0 for the default", c.ObjectStoreMemory)
	case c.ObjectStoreMemory > 0 && c.ObjectStoreMemory < minStore:
		return fmt.Errorf("node: object store of %d bytes: a store needs at least %d: ask for more with --object-store-memory", c.ObjectStoreMemory, minStore)
	case c.ObjectStoreMemory > arena.Memory():
		return fmt.Errorf("node: object store of %d bytes: this machine, or the control group, has %d bytes of memory: ask for less with --object-store-memory", c.ObjectStoreMemory, arena.Memory())
	case c.Private && (len(c.Join) > 0 || len(c.Listen) > 0 || c.TokenFile != "" || c.DenyFile != ""):
		return fmt.Errorf("node: a private node has no peers: leave Private out to join, listen, deny or use a token")
	case len(c.Resources) > wire.MaxResources || len(c.Labels) > wire.MaxResources:
		return fmt.Errorf("node: %d resources and %d labels: at most %d each", len(c.Resources), len(c.Labels), wire.MaxResources)
	}
	for k, v := range c.Resources {
		if k == "" || k == cpuName || !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("node: resource %q = %v: want a name other than %q and a finite amount", k, v, cpuName)
		}
	}
	return nil
}
