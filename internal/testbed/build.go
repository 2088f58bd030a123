package testbed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// built is the folder of what this test run has built; "" before.
var built string

// buildOnce builds the command kadre.
var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kadre-bin-")
	if err != nil {
		return "", err
	}
	built = dir
	exe := filepath.Join(dir, "kadre")
	cmd := exec.Command("go", "build", "-o", exe, "./cmd/kadre")
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped, and as the plain run has built it already
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("testbed: go build ./cmd/kadre: %w\n%s", err, out)
	}
	return exe, nil
})

// Kadre is the path of the command kadre, built once in a test run.
func Kadre(t testing.TB) string {
	t.Helper()
	return must[string](t, "building kadre")(buildOnce())
}

// Clean removes what the test run has built.
func Clean() {
	if built != "" {
		os.RemoveAll(built)
	}
}

// Root is the module's root folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}
