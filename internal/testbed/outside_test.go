package testbed_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/testbed"
)

// TestProgramOutsideTheModule builds a program that is a module of its own and uses every name of the
// contract that works, and runs it with a node embedded and attached to one.
func TestProgramOutsideTheModule(t *testing.T) {
	testbed.NotAgain(t)
	needTime(t)
	bed := testbed.New(t)
	exe := outside(t, bed)
	const printed = "[1 1 1 1 1 1 1 1 1 1]\n[2 3 4 5 6]\n"

	bed.Sub(t, "embedded", func(t *testing.T) {
		p := bed.Run("outside", testbed.Place{}, exe)
		p.Succeed(time.Minute)
		if p.Stdout() != printed {
			t.Errorf("it printed\n%s", p.Stdout())
		}
	})
	bed.Sub(t, "attached", func(t *testing.T) {
		n := bed.StartNode(testbed.NodeConfig{Args: []string{"--resources", "licence=1"}})
		p := bed.Run("outside", testbed.Place{Env: []string{"KADRE_SOCKET=" + n.Socket}}, exe)
		p.Succeed(time.Minute)
		if p.Stdout() != printed {
			t.Errorf("it printed\n%s", p.Stdout())
		}
		n.Stop()
	})
}

// outside copies the program into a module of its own and builds it there.
func outside(t *testing.T, bed *testbed.Bed) (exe string) {
	t.Helper()
	dir := bed.Folder("outside")
	root, err := filepath.Abs(testbed.Root())
	if err != nil {
		t.Fatal(err)
	}
	// The same versions of everything, so that nothing has to be fetched.
	mod := strings.Replace(readFile(t, filepath.Join(root, "go.mod")), "module github.com/kadrehq/kadre\n", "module example.org/outside\n", 1) +
		"\nrequire github.com/kadrehq/kadre v0.0.0\n\nreplace github.com/kadrehq/kadre => " + root + "\n"
	bed.File("outside/go.mod", mod, 0o600)
	bed.File("outside/go.sum", readFile(t, filepath.Join(root, "go.sum")), 0o600)
	bed.File("outside/main.go", readFile(t, "testdata/outside/main.go"), 0o600)
	cmd := exec.Command("go", "build", "-o", "program", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the program outside: %v\n%s", err, out)
	}
	return filepath.Join(dir, "program")
}
