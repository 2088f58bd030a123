package api_test

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/api"
)

// isolated says that every task of every test runs in a worker process: KADRE_ISOLATE=1 go test ./api.
var isolated = os.Getenv("KADRE_ISOLATE") == "1"

// gatesName is the variable with the folder of gates' files.
const gatesName = "KADRE_TEST_GATES"

// hereOnly skips a test of what only a task in this process can show, where all run in others.
func hereOnly(t *testing.T, why string) {
	t.Helper()
	if isolated {
		t.Skip("every task runs in a worker process: " + why)
	}
}

func TestMain(m *testing.M) {
	api.RunWorker()
	os.Setenv("KADRE_CHECK", "empty") // no node ends with something in its store
	dir, err := os.MkdirTemp("", "kadre-gates-")
	if err != nil {
		panic(err)
	}
	os.Setenv(gatesName, dir)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// within bounds every wait of a test.
const within = 20 * time.Second

// start gives a context that carries an embedded runtime of 4 CPUs and ends after a bound. The test's end
// closes both.
func start(t testing.TB, opts ...api.InitOption) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	rt, err := api.Init(ctx, append([]api.InitOption{api.Embedded(), api.NumCPUs(4), api.ObjectStoreMemory(64 << 20)}, opts...)...)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	return rt.With(ctx)
}

// startIsolated is start with every task in a worker process.
func startIsolated(t *testing.T, opts ...api.InitOption) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a worker process")
	}
	t.Setenv("KADRE_ISOLATE", "1")
	c := start(t, opts...)
	if i, err := whoFunc.Remote(c).Get(c); err != nil || i.PID == os.Getpid() {
		t.Fatalf("a task runs here: %+v, %v", i, err)
	}
	return c
}

// must gives a value or ends the test.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
