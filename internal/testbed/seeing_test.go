package testbed_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
	"github.com/kadrehq/kadre/internal/trace"
)

func init() {
	drivers["rounds"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		end := make(chan error, 1)
		go func() { end <- s.Hear(new(string)) }()
		said := false
		for {
			select {
			case err := <-end:
				return err
			default:
			}
			for _, o := range []api.TaskOption{api.Spread(), api.OwnProcess(), api.NumCPUs(1)} {
				f := WhereAfter.Options(o)
				var refs []api.Ref[Where]
				for range 4 {
					refs = append(refs, f.Remote(ctx, 2*time.Millisecond))
				}
				if _, err := api.GetAll(ctx, refs); err != nil {
					return err
				}
			}
			if !said {
				said = true
				if err := s.Say("going"); err != nil {
					return err
				}
			}
		}
	})
}

// TestTimeline records a program on two nodes, with workers, and holds the file to what viewers want.
func TestTimeline(t *testing.T) {
	bed := testbed.New(t)
	a := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	b := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	testbed.AwaitMembers(a, b)
	d := a.Driver("rounds")
	var going string
	d.Hear(&going)
	file := filepath.Join(bed.Dir, "trace.json")
	if p := bed.Kadre(testbed.Place{}, "timeline", "-o", file, "--for", "2s", "--socket", a.Socket); p.Code() != 0 {
		t.Fatalf("kadre timeline: %s", p.Stderr())
	}
	d.Tell("end")
	d.Succeed(20 * time.Second)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := trace.Check(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", s)
	if s.Slices == 0 || s.Flows == 0 || s.Gets == 0 || s.Crossing == 0 || s.Processes < 3 {
		t.Errorf("the timeline has %+v", s)
	}
}
