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

// hog takes memory without end, and stays.
func hog(ctx context.Context, dir string) (int, error) {
	note(dir, "began")
	var all [][]byte
	for n := 0; n < hogMost; n += 4 << 20 {
		b := make([]byte, 4<<20)
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1
		}
		all = append(all, b)
		time.Sleep(time.Millisecond) // as who reads a file does
	}
	<-ctx.Done()
	return len(all), ctx.Err()
}

var hogs = api.Func1(hog)

// TestHeapMemory has tasks take more memory than they said, and than the node has, beside one that is modest.
func TestHeapMemory(t *testing.T) {
	c := start(t, api.Resources(map[string]float64{"memory": 500 << 20}))
	c, cancel := context.WithTimeout(context.WithoutCancel(c), 4*within)
	defer cancel()
	dir := t.TempDir()
	modest := rulesReleased.Options(api.OwnProcess(), api.HeapMemory(50<<20), api.MaxRetries(0)).Remote(c, dir)
	must(0, noted(c, dir, "began"))(t)
	own := hogs.Options(api.OwnProcess(), api.MaxRetries(0))
	for name, h := range map[string]struct {
		f    *api.RemoteFunc1[string, int]
		want []string
	}{
		"more than it said":      {own.Options(api.HeapMemory(100 << 20)), []string{"api_test.hog", "HeapMemory", "100 MiB"}},
		"more than the node has": {own, []string{"api_test.hog", "memory", "500 MiB"}},
		"twice":                  {own.Options(api.HeapMemory(100<<20), api.MaxRetries(1)), []string{"api_test.hog", "HeapMemory", "100 MiB"}},
	} {
		_, err := h.f.Remote(c, t.TempDir()).Get(c)
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
	if _, err := hogs.Options(api.HeapMemory(1<<40)).Remote(c, dir).Get(c); !errors.As(err, &never) || !strings.Contains(err.Error(), "memory") {
		t.Errorf("more than any node has: %v", err)
	}
}
