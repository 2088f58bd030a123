package arena

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/invariant"
)

// mutants are lines of reap.go without which something of a dead process stays.
var mutants = []struct{ name, line string }{
	{"the sweep over the entries", "a.reapEntry(e, client, &s)"},
	{"the drop of holder bits", "a.dropDead(e, gen, client)"},
	{"the end of half-made objects", "a.finish(e, gen, a.entries[e].key().hash())"},
	{"the wake-up of who waits", "s.Waits = a.wakeWaiters(client)"},
	{"the return of CPUs", "s.CPUs = a.freeCPUs(client)"},
}

const (
	mutantEnv   = "KADRE_MUTANT" // in a mutant: which line it lacks
	mutantKills = "400"          // some ten are enough to find any of them
)

// TestMutants takes each of these lines out and sees the tests that kill processes fail. They are taken out of what the compiler
// reads: no file of the package is changed.
func TestMutants(t *testing.T) {
	if testing.Short() || invariant.Enabled || os.Getenv(mutantEnv) != "" {
		t.Skip("it builds and runs the other tests once more")
	}
	exe := buildMutants(t)
	for n, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), exe, "-test.run", "^(TestKill|TestSealerDies)$", "-test.failfast", "-test.timeout", "3m")
			cmd.Env = append(os.Environ(), fmt.Sprint(mutantEnv, "=", n), "KADRE_KILLS="+mutantKills)
			begin := time.Now()
			out, err := cmd.CombinedOutput()
			found := foundOut.FindSubmatch(out)
			if err == nil || found == nil {
				t.Fatalf("without %q the tests that kill processes end so (%v):\n%s", m.line, err, out)
			}
			t.Logf("they fail after %v: %.150s", time.Since(begin).Round(time.Millisecond), found[1])
		})
	}
}

// foundOut is what a test has to say against a mutant.
var foundOut = regexp.MustCompile(`(?m)^\s+kill_test\.go:\d+: ([^K].*)$`)

// buildMutants builds the tests of the package so that the environment says which of the lines does nothing.
func buildMutants(t *testing.T) (exe string) {
	b, err := os.ReadFile("reap.go")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for n, m := range mutants {
		if strings.Count(text, m.line) != 1 {
			t.Fatalf("%q is not once in reap.go", m.line)
		}
		text = strings.Replace(text, m.line, fmt.Sprintf("if mutant != \"%d\" { %s }", n, m.line), 1)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir, instead := t.TempDir(), map[string]string{}
	for name, text := range map[string]string{"reap.go": text, "mutant.go": fmt.Sprintf("package arena\n\nimport \"os\"\n\nvar mutant = os.Getenv(%q)\n", mutantEnv)} {
		instead[filepath.Join(here, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay := filepath.Join(dir, "overlay.json")
	if b, err = json.Marshal(map[string]any{"Replace": instead}); err == nil {
		err = os.WriteFile(overlay, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	exe = filepath.Join(dir, "mutants")
	if out, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("building the mutants: %v\n%s", err, out)
	}
	return exe
}
