package testbed_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

func init() { drivers["left behind"] = attached(leftBehind) }

// leftBehind has objects in the store of its node and in files, and says what calls give when the node is gone.
func leftBehind(ctx context.Context, s *testbed.Stage) error {
	puts, err := putKept(ctx)
	if err != nil {
		return err
	}
	if err := s.Say("put"); err != nil {
		return err
	}
	if err := s.Hear(new(string)); err != nil {
		return err
	}
	var said []string
	for _, r := range puts {
		if _, err := r.Get(ctx); err != nil {
			said = append(said, err.Error())
		}
	}
	if _, err := api.Put(ctx, pattern(keptSize, 0)); err != nil {
		said = append(said, err.Error())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Say(said)
}

// TestRestartUnderADriver ends a node, with SIGTERM and with kill -9, that has a driver with objects in memory and in files. The driver's
// calls end with errors that say so, and the node that comes in its place has nothing of the old store, and works.
func TestRestartUnderADriver(t *testing.T) {
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(how.String(), func(t *testing.T) {
			bed := testbed.New(t)
			c := testbed.NodeConfig{StateDir: bed.Folder("state"), Args: []string{"--object-store-memory", "16MiB"}}
			n := bed.StartNode(c)
			d := n.Driver("left behind")
			var put string
			d.Hear(&put)
			if got := n.Objects(); got != keptPuts {
				t.Fatalf("%d objects", got)
			}
			n.Signal(how)
			n.Wait(driverTime)
			d.Tell("go on")
			var said []string
			d.Hear(&said)
			if len(said) == 0 || !strings.Contains(strings.ToLower(strings.Join(said, "\n")), "node") && !strings.Contains(strings.Join(said, "\n"), "closed") {
				t.Errorf("the driver heard %q", said)
			}
			d.Wait(driverTime) // its Close may well say that there is no node
			again := bed.StartNode(c)
			if got := again.Objects(); got != 0 || again.ID != n.ID {
				t.Errorf("%s came back as %s with %d objects", n.ID, again.ID, got)
			}
			if p := bed.Kadre(testbed.Place{}, "doctor", "--socket", again.Socket); !strings.Contains(p.Stdout(), "every invariant holds") {
				t.Errorf("doctor:\n%s%s", p.Stdout(), p.Stderr())
			}
			fresh := again.Driver("start")
			var w Where
			fresh.Hear(&w)
			fresh.Succeed(10 * time.Second)
			again.Stop()
			t.Logf("after %v the driver heard %q", how, said[:min(len(said), 2)])
		})
	}
}
