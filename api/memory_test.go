package api_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// hogMost bounds what a hog takes, for the machine's sake.
const hogMost = 3 << 30

// hog takes memory without end, so much at a time, and stays.
func hog(ctx context.Context, dir string, bytes int, pause time.Duration) (int, error) {
	note(dir, "began")
	var all [][]byte
	for n := 0; n < hogMost; n += bytes {
		b := make([]byte, bytes)
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1
		}
		all = append(all, b)
		time.Sleep(pause) // as who reads a file does
	}
	<-ctx.Done()
	return len(all), ctx.Err()
}

var hogs = api.Func3(hog)

// TestHeapMemory has tasks take more memory than they said, and than the node has, beside one that is modest.
func TestHeapMemory(t *testing.T) {
	c := start(t, api.Resources(map[string]float64{"memory": 500 << 20}))
	c, cancel := context.WithTimeout(context.WithoutCancel(c), 4*within)
	defer cancel()
	dir := t.TempDir()
	modest := rulesReleased.Options(api.OwnProcess(), api.HeapMemory(50<<20), api.MaxRetries(0)).Remote(c, dir)
	must(0, noted(c, dir, "began"))(t)
	own := hogs.Options(api.OwnProcess(), api.MaxRetries(0))
	said := own.Options(api.HeapMemory(100 << 20))
	its, nodes := []string{"api_test.hog", "HeapMemory", "100 MiB"}, []string{"api_test.hog", "memory", "500 MiB"}
	for name, h := range map[string]struct {
		f     *api.RemoteFunc3[string, int, time.Duration, int]
		bytes int
		pause time.Duration
		want  []string
	}{
		"more than it said":          {said, 4 << 20, time.Millisecond, its},
		"more than the node has":     {own, 4 << 20, time.Millisecond, nodes},
		"twice":                      {said.Options(api.MaxRetries(1)), 4 << 20, time.Millisecond, its},
		"fast":                       {said, 1 << 20, 0, its},
		"fast, of the node's":        {own, 1 << 20, 0, nodes},
		"all at once":                {said, 1 << 30, 0, its},
		"all of the node's, at once": {own, 1 << 30, 0, nodes},
		"in large pieces":            {said, 70 << 20, 0, its},
	} {
		_, err := h.f.Remote(c, t.TempDir(), h.bytes, h.pause).Get(c)
		var died *api.WorkerDiedError
		if !errors.As(err, &died) {
			t.Fatalf("%s: %v", name, err)
		}
		for _, w := range h.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", name, err, w)
			}
		}
	}
	note(dir, "go")
	if v, err := modest.Get(c); v != 7 || err != nil {
		t.Errorf("a modest task beside them gives %d, %v", v, err)
	}
	var never *api.UnschedulableError
	if _, err := hogs.Options(api.HeapMemory(1<<40)).Remote(c, dir, 1, 0).Get(c); !errors.As(err, &never) || !strings.Contains(err.Error(), "memory") {
		t.Errorf("more than any node has: %v", err)
	}
}
