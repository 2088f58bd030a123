package docs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/invariant"
)

// buildWithin bounds one build of a program, with all that it imports.
const buildWithin = 10 * time.Minute

// TestProgramsOfOthers builds the examples as modules of their own, as a user would, and runs them.
func TestProgramsOfOthers(t *testing.T) {
	if invariant.Race {
		t.Skip("the programs are built without the race detector: they would do the same again")
	}
	for name, want := range map[string][]string{
		"hello":       {"[0 1 4 9 16 25 36 49 64 81]"},
		"walkthrough": {"49", "52", "11", "55", "30 11", "line 2", "[seen by all] false", "1 2", "[1 4 9]", "499.5", "1000 999", "[1 1 1 1 1 1 1 1 1 1]", "[2 3 4 5 6]"},
	} {
		t.Run(name, func(t *testing.T) {
			out := run(t, outside(t, name))
			for _, line := range want {
				if !strings.Contains("\n"+out, "\n"+line+"\n") {
					t.Errorf("it did not print %q but\n%s", line, out)
				}
			}
			if strings.Contains("\n"+out, "\nfalse") {
				t.Errorf("something is false that should be true:\n%s", out)
			}
		})
	}
}

// outside copies an example into a module of its own and builds it there. It gives the executable.
func outside(t *testing.T, example string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join("../examples", example, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of %s: %v", example, err)
	}
	for _, f := range append(files, "../go.sum") {
		copyFile(t, f, filepath.Join(dir, filepath.Base(f)))
	}
	ours, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	// The same versions of everything, so that nothing has to be fetched.
	text := strings.Replace(string(mod), "module github.com/kadrehq/kadre\n", "module example.org/outside\n", 1) +
		fmt.Sprintf("\nrequire github.com/kadrehq/kadre v0.0.0\n\nreplace github.com/kadrehq/kadre => %s\n", ours)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "program")
	ctx, cancel := context.WithTimeout(t.Context(), buildWithin)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", exe, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s outside: %v\n%s", example, err, out)
	}
	return exe
}

// run gives what a program prints, in an environment without a node.
func run(t *testing.T, exe string) string {
	t.Helper()
	folders, err := os.MkdirTemp("", "k") // short, for the sockets' paths
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folders)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folders, "XDG_RUNTIME_DIR=" + folders, "XDG_STATE_HOME=" + folders}
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), stderr.String())
	}
	return out.String()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
