package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/internal/trace"
)

// TestDemo runs the demo on a part of the Go toolchain's sources, in a process of its own.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	exe, err := exec.LookPath("kadre") // testscript puts it there
	if err != nil {
		t.Fatal(err)
	}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	timeline := filepath.Join(t.TempDir(), "trace.json")
	cmd := exec.CommandContext(t.Context(), exe, "demo", "--corpus", filepath.Join(strings.TrimSpace(string(root)), "src", "cmd"), "--timeline", timeline)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"[1 1 1 1 1 1 1 1 1 1]", "[2 3 4 5 6]", "re-executed ", "All is as it must be."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	if left, err := filepath.Glob(filepath.Join(tmp, "*")); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	checkTimeline(t, timeline)
}

// checkTimeline holds the timeline of the demo to what viewers want: all processes have left it, also the driver, which had
// ended when it was written.
func checkTimeline(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := trace.Check(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes: %+v", len(data), s)
	if s.Processes < 2 || s.Slices == 0 || s.Flows == 0 || s.Gets == 0 || s.Crossing == 0 {
		t.Errorf("the timeline of the demo has %+v", s)
	}
	for _, f := range []string{"countTask", "mergeTask", "readTask"} {
		if !strings.Contains(string(data), f) {
			t.Errorf("%s is not in the timeline", f)
		}
	}
}

// TestDemoLeavesNothing interrupts the demo in its course, twice each time, as the impatient do.
func TestDemoLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	exe, err := exec.LookPath("kadre")
	if err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	for _, mark := range []string{"Kadre:", "a function", "Word count"} {
		cmd := exec.CommandContext(t.Context(), exe, "demo", "--corpus", ".")
		cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), mark) {
				break
			}
		}
		for range 2 {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Errorf("at %q: %v", mark, err)
			}
		}
		for lines.Scan() { // to its end
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailed {
			t.Errorf("interrupted at %q it ends with %v", mark, err)
		}
		if left, err := filepath.Glob(filepath.Join(tmp, "*")); err != nil || len(left) > 0 {
			t.Errorf("interrupted at %q it left %v, %v", mark, left, err)
		}
	}
}
