package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// stuckName makes workers of this binary never reach RunWorker: "wait" or "exit".
const stuckName = "KADRE_TESTBED_STUCK"

// drivers are what this binary runs when it is started as a driver.
var drivers = map[string]func(*testbed.Stage) error{}

func TestMain(m *testing.M) {
	if os.Getenv("KADRE_WORKER") == "1" {
		stuck()
	}
	testbed.Main(drivers)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		testbed.Clean()
		os.Exit(code)
	}))
}

// stuck is a main that does not come to RunWorker.
func stuck() {
	switch os.Getenv(stuckName) {
	case "wait":
		fmt.Fprintln(os.Stderr, "waiting for something that never comes")
		time.Sleep(time.Hour) // a main that hangs
	case "exit":
		fmt.Fprintln(os.Stderr, "cannot find my configuration")
		os.Exit(3)
	}
}

// driverTime bounds a driver's life.
const driverTime = 60 * time.Second

// attached makes a driver of a function that works with a runtime.
func attached(run func(context.Context, *testbed.Stage) error, opts ...api.InitOption) func(*testbed.Stage) error {
	return func(s *testbed.Stage) (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), driverTime)
		defer cancel()
		rt, err := api.Init(ctx, opts...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rt.Close()) }()
		return run(rt.With(ctx), s)
	}
}

// needTime skips what takes long where the run is to be short.
func needTime(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long")
	}
}
