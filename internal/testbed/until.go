package testbed

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/invariant"
)

const (
	// startWithin bounds a node's way to its ready line.
	startWithin = time.Minute
	// endWithin bounds the end of a process that was told to stop.
	endWithin = time.Minute
	// lineWithin bounds the wait for a driver's next line.
	lineWithin = time.Minute
	// goneWithin bounds the end of the processes of a node or driver that was killed.
	goneWithin = 30 * time.Second

	lookEvery = 5 * time.Millisecond
)

// Until waits until ok says yes; it fails the test with what says is still so when within has passed.
func Until(t testing.TB, within time.Duration, ok func() bool, what func() string) {
	t.Helper()
	if !await(within, ok) {
		t.Fatalf("waited %v: %s", within, what())
	}
}

func await(within time.Duration, ok func() bool) bool {
	deadline := time.Now().Add(within)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			return false
		}
		<-tick.C
	}
	return true
}

// NeedRoot skips the test without root, or fails it where CI demands root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	const why = "needs root, for network namespaces and other processes' maps"
	if os.Getenv("KADRE_REQUIRE_ROOT_TESTS") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// NotAgain skips a test under the race detector. It is for those whose work is done by programs that are built without
// it: they would do the same again that they do in the plain run.
func NotAgain(t testing.TB) {
	t.Helper()
	if invariant.Race {
		t.Skip("what it runs is built without the race detector")
	}
}

// must ends the test where a step of the harness fails.
func must[T any](t testing.TB, what string) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(fmt.Errorf("%s: %w", what, err))
		}
		return v
	}
}
