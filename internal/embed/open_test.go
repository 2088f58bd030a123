package embed

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/internal/node"
)

func TestMain(m *testing.M) {
	os.Setenv("KADRE_CHECK", "empty") // no node ends with something in its store
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// home gives the test runtime and state folders of its own, and no variables.
func home(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "KADRE_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("XDG_RUNTIME_DIR", d)
	t.Setenv("XDG_STATE_HOME", d)
	return d
}

func startNode(t *testing.T, cluster string) *node.Node {
	t.Helper()
	n, err := node.Start(context.Background(), node.Config{Cluster: cluster, Logger: quiet, ObjectStoreMemory: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func open(t *testing.T, o Options) *Conn {
	t.Helper()
	o.Logger = quiet
	c, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Conn.Close()
		if c.Node != nil {
			c.Node.Close()
		}
	})
	return c
}

func TestEmbedsWhereNoneLives(t *testing.T) {
	home(t)
	t.Setenv("KADRE_CPUS", "3")
	t.Setenv("KADRE_OBJECT_STORE_MEMORY", "16MiB")
	t.Setenv("KADRE_RESOURCES", "gpu=2, tpu=0.5")
	t.Setenv("KADRE_LABELS", "zone=a")
	c := open(t, Options{})
	s := c.Node.Status()
	if len(s.Addrs) != 0 || s.CPUs.Total != 3 || s.Store.Size != 16<<20 || s.Resources["gpu"] != 2 || s.Resources["tpu"] != 0.5 || s.Labels["zone"] != "a" {
		t.Errorf("status %+v", s)
	}
	// A private node is nobody else's.
	d := open(t, Options{NumCPUs: 1, ObjectStoreMemory: 16 << 20})
	if d.Node == nil || d.Node.Status().CPUs.Total != 1 {
		t.Errorf("%+v", d)
	}
}

func TestEmbeddedJoins(t *testing.T) {
	home(t)
	n := startNode(t, "c")
	c := open(t, Options{Embedded: true, Cluster: "c", ObjectStoreMemory: 16 << 20, NumCPUs: 1})
	if c.Node == nil || c.Cluster != "c" || len(c.Node.Addrs()) == 0 || c.Node.ID() == n.ID() {
		t.Errorf("%+v", c)
	}
}

func TestAttaches(t *testing.T) {
	home(t)
	first, second := startNode(t, ""), startNode(t, "")
	t.Setenv("KADRE_CPUS", "nonsense") // of no interest when attaching
	if c := open(t, Options{}); c.Node != nil || c.Socket != first.Socket() {
		t.Errorf("attached to %s, want %s", c.Socket, first.Socket())
	}
	t.Setenv("KADRE_SOCKET", second.Socket())
	if c := open(t, Options{}); c.Socket != second.Socket() {
		t.Errorf("attached to %s, want %s", c.Socket, second.Socket())
	}
	t.Setenv("KADRE_SOCKET", "")
	t.Setenv("KADRE_CLUSTER", "other")
	t.Setenv("KADRE_CPUS", "1")
	if c := open(t, Options{}); c.Node == nil || c.Cluster != "other" {
		t.Errorf("%+v", c)
	}
	if c := open(t, Options{Cluster: "default"}); c.Socket != first.Socket() {
		t.Errorf("%+v", c)
	}
}

func TestNodeOptionsNeedANode(t *testing.T) {
	home(t)
	startNode(t, "")
	for name, o := range map[string]Options{
		"Join":              {Join: []string{"x:1"}},
		"TokenFile":         {TokenFile: "x"},
		"NumCPUs":           {NumCPUs: 1},
		"Resources":         {Resources: map[string]float64{}},
		"Labels":            {Labels: map[string]string{}},
		"ObjectStoreMemory": {ObjectStoreMemory: 1},
	} {
		c, err := Open(context.Background(), o)
		if err == nil || !strings.Contains(err.Error(), name+" is for a node") {
			t.Errorf("%s: %v", name, err)
		}
		if c != nil {
			t.Errorf("%s: a connection came with the error", name)
		}
	}
}

func TestNeverFallsBack(t *testing.T) {
	dir := home(t)
	t.Setenv("KADRE_SOCKET", filepath.Join(dir, "none.sock"))
	if _, err := Open(context.Background(), Options{}); err == nil || !strings.Contains(err.Error(), "KADRE_SOCKET") {
		t.Errorf("got %v", err)
	}
	c := open(t, Options{Embedded: true, ObjectStoreMemory: 16 << 20})
	if c.Node == nil {
		t.Error("Embedded() looked for a node")
	}
	t.Setenv("KADRE_SOCKET", "")
	n := startNode(t, "")
	if err := os.Remove(n.Socket()); err != nil { // it lives and cannot be reached
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Options{}); err == nil || !strings.Contains(err.Error(), "found in cluster") {
		t.Errorf("got %v", err)
	}
}

func TestBadVariables(t *testing.T) {
	home(t)
	for name, v := range map[string]string{"KADRE_CPUS": "x", "KADRE_RESOURCES": "gpu", "KADRE_OBJECT_STORE_MEMORY": "8XiB", "KADRE_SPILL_DIR": "/x"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, v)
			if _, err := Open(context.Background(), Options{Logger: quiet}); err == nil {
				t.Error("no error")
			}
		})
	}
	for v, want := range map[string]int64{"8GiB": 8 << 30, "1.5KiB": 1536, "1e9": 1e9, "7": 7} {
		if got, err := size(v); got != want || err != nil {
			t.Errorf("%s: %d, %v", v, got, err)
		}
	}
}
