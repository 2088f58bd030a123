package testbed_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

const (
	sharedSize = 3 << 20
	gets       = 10_000
	getObjects = 100
)

// Exchange is what the driver "share" says: digests of what one process wrote and another read.
type Exchange struct {
	Worker        int
	Wrote, Read   string // by the driver, by the worker
	Made, Arrived string // by the worker, at the driver
}

func init() {
	drivers["share"] = attached(share)
	drivers["gets"] = attached(getOften)
}

func share(ctx context.Context, s *testbed.Stage) (err error) {
	own := []api.TaskOption{api.OwnProcess()}
	x := Exchange{Wrote: digest(pattern(sharedSize, 1)), Made: digest(pattern(sharedSize, 2))}
	w, err := WhereAfter.Options(own...).Remote(ctx, 0).Get(ctx)
	if err != nil {
		return err
	}
	x.Worker = w.PID
	a, err := api.NewArray[byte](ctx, sharedSize)
	if err != nil {
		return err
	}
	copy(a.Data(), pattern(sharedSize, 1))
	ref, err := api.Put(ctx, a)
	if err != nil {
		return err
	}
	if x.Read, err = DigestOf.Options(own...).With(ctx, ref).Get(ctx); err != nil {
		return err
	}
	made, err := ArrayOf.Options(own...).Remote(ctx, sharedSize, 2).Get(ctx)
	if err != nil {
		return err
	}
	defer made.Release()
	x.Arrived = digest(made.Data())
	if err := s.Say(x); err != nil {
		return err
	}
	s.Hear(&x) // the end
	return nil
}

// getOften gets objects whenever the test says so, and then makes a system call that strace must see.
func getOften(ctx context.Context, s *testbed.Stage) error {
	var refs []api.Ref[api.Array[byte]]
	for i := range getObjects {
		a, err := api.ArrayOf(ctx, pattern(1000*(i+1), i))
		if err != nil {
			return err
		}
		ref, err := api.Put(ctx, a)
		if err != nil {
			return err
		}
		refs = append(refs, ref)
	}
	for {
		if err := s.Say(os.Getpid()); err != nil {
			return err
		}
		what := ""
		if err := s.Hear(&what); err != nil {
			return err
		}
		switch what {
		case "get":
			for i := range gets {
				a, err := refs[i%getObjects].Get(ctx)
				if err != nil {
					return err
				}
				if n := 1000 * (i%getObjects + 1); a.Len() != n || a.Data()[n-1] != pattern(n, i%getObjects)[n-1] {
					return fmt.Errorf("get %d gave a wrong array", i)
				}
				a.Release()
			}
		case "dial":
			c, err := net.Dial("unix", os.Getenv("KADRE_SOCKET"))
			if err != nil {
				return err
			}
			c.Close()
		default:
			return nil
		}
	}
}

func TestSharedMemory(t *testing.T) {
	testbed.NeedRoot(t)
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--object-store-memory", "64MiB"}})
	d := n.Driver("share")
	var x Exchange
	d.Hear(&x)
	if x.Wrote != x.Read {
		t.Errorf("the driver wrote %s and the worker read %s", x.Wrote, x.Read)
	}
	if x.Made != x.Arrived {
		t.Errorf("the worker wrote %s and the driver read %s", x.Made, x.Arrived)
	}
	arena := common(t, n.PID, d.PID, x.Worker)
	s := n.Status()
	if s.Store.Bytes < 2*sharedSize {
		t.Errorf("the store has %d bytes, and two arrays of %d are alive", s.Store.Bytes, sharedSize)
	}
	want := []int{n.PID, d.PID}
	for _, w := range s.Workers { // one that is slow to tell that it is free makes the next task start another
		want = append(want, w.PID)
	}
	mappers := testbed.Mappers(arena)
	if !same(mappers, want) || !slices.Contains(want, x.Worker) {
		t.Errorf("%v have mapped the arena, not %v", mappers, want)
	}
	d.Succeed(10 * time.Second)
	testbed.Until(t, time.Minute, func() bool { mappers = testbed.Mappers(arena); return same(mappers, []int{n.PID}) }, func() string {
		return fmt.Sprintf("%v have mapped the arena of node %d whose driver has ended", mappers, n.PID)
	})
	n.Stop()
	if mappers := testbed.Mappers(arena); len(mappers) > 0 {
		t.Errorf("%v have mapped the arena of a node that has ended", mappers)
	}
}

// common finds the one mapping that all the processes share: the arena. Rings are between two.
func common(t *testing.T, pids ...int) testbed.Mapping {
	t.Helper()
	all := testbed.Shared(pids[0])
	for _, pid := range pids[1:] {
		of := testbed.Shared(pid)
		all = slices.DeleteFunc(all, func(m testbed.Mapping) bool { return !slices.Contains(of, m) })
	}
	if len(all) != 1 {
		t.Fatalf("processes %v have %d mappings in common: %v", pids, len(all), all)
	}
	return all[0]
}

func same(a, b []int) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func TestGetsMakeNoSocketCalls(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv("KADRE_REQUIRE_ROOT_TESTS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	testbed.NeedRoot(t)
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--object-store-memory", "64MiB"}})
	d := n.Driver("gets")
	var pid int
	d.Hear(&pid)
	if calls := traced(t, bed, d, "get"); calls != 0 {
		t.Errorf("%d gets made %d socket calls", gets, calls)
	}
	if calls := traced(t, bed, d, "dial"); calls == 0 {
		t.Error("strace has not seen the driver dial: the test proves nothing")
	}
	d.Tell("end")
	d.Succeed(10 * time.Second)
}

// traced has a driver do something under strace and counts the system calls that concern sockets.
func traced(t *testing.T, bed *testbed.Bed, d *testbed.Process, what string) int {
	t.Helper()
	out := filepath.Join(bed.Dir, "strace-"+what)
	s := bed.Run("strace", testbed.Place{}, "strace", "-f", "-c", "-U", "calls,name", "-e", "trace=%network", "-o", out, "-p", strconv.Itoa(d.PID))
	s.AwaitStderr(10*time.Second, "attached")
	d.Tell(what)
	var pid int
	d.Hear(&pid)
	s.Signal(syscall.SIGINT)
	s.Wait(10 * time.Second) // it ends with the signal's status
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("strace of %q:\n%s", what, b)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && f[1] == "total" {
			calls, err := strconv.Atoi(f[0])
			if err != nil {
				t.Fatal(err)
			}
			return calls
		}
	}
	return 0
}
