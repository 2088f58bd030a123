package api_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/api"
)

// appendsTo writes a word to the end of a file.
var appendsTo = api.Func2(func(_ context.Context, file, word string) (int, error) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.WriteString(word + " ")
}, api.RegisterAs("test.appendsTo"))

// beginsAndWaits tells by a file that it runs and returns when another one is there.
var beginsAndWaits = api.Func1(func(ctx context.Context, file string) (int, error) {
	if err := os.WriteFile(file+".begin", nil, 0o600); err != nil {
		return 0, err
	}
	return waitsForFile(ctx, file)
}, api.RegisterAs("test.beginsAndWaits"))

// TestPriority: of the tasks that wait for one CPU, or for a named resource at the node, the higher ones start first.
func TestPriority(t *testing.T) {
	gpu := api.Resources(map[string]float64{"gpu": 1})
	for name, c := range map[string]struct {
		isolated bool
		with     []api.TaskOption
	}{
		"in the driver":               {false, nil},
		"in a worker":                 {true, nil},
		"at the node, for a resource": {false, []api.TaskOption{gpu}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.isolated {
				if testing.Short() {
					t.Skip("starts a worker process")
				}
				t.Setenv("KADRE_ISOLATE", "1")
			}
			ctx := start(t, api.NumCPUs(1), gpu)
			gate, open := fileGate(t)
			hold := beginsAndWaits.Options(c.with...).Remote(ctx, gate)
			waitFile(t, ctx, gate+".begin")
			file := t.TempDir() + "/order"
			var refs []api.Ref[int]
			for _, at := range []struct {
				word  string
				level int
			}{{"zero", 0}, {"high", 5000}, {"low", -5000}, {"higher", 9000}} {
				refs = append(refs, appendsTo.Options(append(c.with, api.Priority(at.level))...).Remote(ctx, file, at.word))
			}
			// What was submitted before this one has arrived.
			if _, err := squareFunc.Options(api.NumCPUs(0)).Remote(ctx, 1).Get(ctx); err != nil {
				t.Fatal(err)
			}
			open()
			if _, err := api.GetAll(ctx, append(refs, hold)); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(file)
			if got, want := strings.TrimSpace(string(b)), "higher high zero low"; err != nil || got != want {
				t.Errorf("they ran in the order %q, not %q (%v)", got, want, err)
			}
		})
	}
	c := start(t)
	if _, err := squareFunc.Options(api.Priority(1<<30)).Remote(c, 1).Get(c); err == nil || !strings.Contains(err.Error(), "Priority(1073741824)") {
		t.Error(err)
	}
}
