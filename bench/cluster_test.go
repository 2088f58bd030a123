package bench

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/testbed"
)

// netNodes is how many nodes the tests of a cluster have: few, unless KADRE_NODES says otherwise.
func netNodes(t *testing.T) int {
	testbed.NeedRoot(t)
	if os.Getenv("KADRE_TESTNET_EXE") == "" {
		t.Setenv("KADRE_TESTNET_EXE", testbed.Kadre(t))
	}
	if n, err := strconv.Atoi(os.Getenv("KADRE_NODES")); err == nil {
		return n
	}
	return 4
}

func TestIdleCluster(t *testing.T) {
	n := netNodes(t)
	var c *idle
	run, err := withIdle(n, time.Second, func(is *idle) Side { c = is; return is.memory })(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := run.Close(); err != nil {
			t.Error(err)
		}
	}()
	memory, err := run.Ours(t.Context(), n)
	if err != nil || memory < 1 {
		t.Errorf("memory of a node: %v MiB, %v", memory, err)
	}
	cpu, err := c.cpu(t.Context(), n)
	if err != nil || cpu <= 0 {
		t.Errorf("CPU of a node: %v%%, %v", cpu, err)
	}
	t.Logf("%.1f MiB, %.2f%% of a core; %v", memory, cpu, run.Extra)
	for _, d := range c.net.Nodes {
		if d.Stderr() == "" {
			t.Errorf("%s logs nothing", d.Name)
		}
	}
}
