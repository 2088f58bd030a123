package testbed_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

const (
	left      = 12        // objects of an actor that nobody else refers to
	leftSize  = 300 << 10 // more than stays in Go memory
	bequest   = 5         // objects to which the driver's references lead: a block, two values with a reference, and the block behind each
	testLease = "KADRE_TEST_LEASE=400ms"
)

// Estate is an actor that owns objects.
type Estate struct {
	blocks []api.Ref[[]byte]
	given  Given
}

// Given is what others get of an estate.
type Given struct {
	Block api.Ref[[]byte]
	Will  api.Ref[Will]              // a value in the store
	Small api.Ref[[]api.Ref[[]byte]] // one that was in no store until its reference left the process
	PID   int
}

// Will is a large value with a reference inside.
type Will struct {
	Pad []byte
	In  api.Ref[[]byte]
}

// newEstate makes objects that are named by its process; what a method makes has a name of its task.
func newEstate(ctx context.Context) (*Estate, error) {
	e := &Estate{given: Given{PID: os.Getpid()}}
	return e, e.add(ctx, left/2)
}

func (e *Estate) add(ctx context.Context, n int) error {
	for range n {
		r, err := api.Put(ctx, pattern(leftSize, len(e.blocks)))
		if err != nil {
			return err
		}
		e.blocks = append(e.blocks, r)
	}
	return nil
}

func (e *Estate) fill(ctx context.Context) (err error) {
	if err := e.add(ctx, left-left/2); err != nil {
		return err
	}
	var in [3]api.Ref[[]byte]
	for i := range in {
		if in[i], err = api.Put(ctx, pattern(leftSize, 100+i)); err != nil {
			return err
		}
	}
	e.given.Block = in[0]
	if e.given.Will, err = api.Put(ctx, Will{pattern(leftSize, 7), in[1]}); err != nil {
		return err
	}
	e.given.Small, err = api.Put(ctx, []api.Ref[[]byte]{in[2]})
	return err
}

func (e *Estate) give(context.Context) (Given, error) { return e.given, nil }

var (
	NewEstate = api.Class0(newEstate)
	FillOut   = api.MethodProc0((*Estate).fill)
	Give      = api.Method0((*Estate).give)
)

// check reads all that the references lead to.
func (g Given) check(ctx context.Context) error {
	w, err := g.Will.Get(ctx)
	if err != nil {
		return fmt.Errorf("the will: %w", err)
	}
	s, err := g.Small.Get(ctx)
	if err != nil {
		return fmt.Errorf("the small value: %w", err)
	}
	for i, r := range []api.Ref[[]byte]{g.Block, w.In, s[0]} {
		if b, err := r.Get(ctx); err != nil || digest(b) != digest(pattern(leftSize, 100+i)) {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}

func init() {
	drivers["inherit"] = attached(inherit)
}

// inherit refers to some of what two actors own that are killed then, and lets go of it in the end.
func inherit(ctx context.Context, s *testbed.Stage) error {
	defer collecting()()
	var on string
	if err := s.Hear(&on); err != nil {
		return err
	}
	opts := []api.ClassOption{api.OwnProcess()}
	if on != "" {
		opts = append(opts, api.OnNode(api.NodeID(on), false))
	}
	var got [2]Given
	var pids [2]int
	for i := range got {
		e := NewEstate.Options(opts...).Remote(ctx)
		_, err := FillOut.Remote(ctx, e).Get(ctx)
		if err == nil {
			got[i], err = Give.Remote(ctx, e).Get(ctx)
		}
		if err == nil && on != "" { // copies come here
			err = got[i].check(ctx)
		}
		if err == nil { // it comes here, and nobody has looked inside
			_, _, err = api.Wait(ctx, []api.Ref[[]api.Ref[[]byte]]{got[i].Small})
		}
		if err != nil {
			return err
		}
		pids[i] = got[i].PID
	}
	if err := s.Say(pids); err != nil {
		return err
	}
	for i := range got {
		if err := s.Hear(&on); err != nil {
			return err
		}
		if err := got[i].check(ctx); err != nil {
			return fmt.Errorf("estate %d: %w", i, err)
		}
		got[i] = Given{}
		if err := s.Say(i); err != nil {
			return err
		}
	}
	return s.Hear(&on)
}

// collecting has Go's collector run all the time until the function that it returns is called: an idle process is asked to every ten
// seconds only.
func collecting() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				runtime.GC()
			}
		}
	}()
	return func() { close(done); <-ended }
}

// awaitObjects waits until so many objects are in the store of a node.
func awaitObjects(t *testing.T, n *testbed.Node, want int) {
	t.Helper()
	got := 0
	testbed.Until(t, 30*time.Second, func() bool { got = n.Objects(); return got == want }, func() string {
		return fmt.Sprintf("%d objects on %s instead of %d", got, n.Name, want)
	})
}

// TestOrphansOfAProcess kills two processes that own objects, some of which are in files. What nobody refers to goes, while the
// job goes on; the driver reads the rest, which goes when it lets go of it.
func TestOrphansOfAProcess(t *testing.T) {
	bed := testbed.New(t)
	a := bed.StartNode(testbed.NodeConfig{Place: testbed.Place{Env: []string{testLease}}, Args: []string{"--object-store-memory", "6MiB"}})
	d := a.Driver("inherit")
	d.Tell("")
	var pids [2]int
	d.Hear(&pids)
	syscall.Kill(pids[0], syscall.SIGKILL)
	awaitObjects(t, a, left+2*bequest)
	syscall.Kill(pids[1], syscall.SIGKILL)
	awaitObjects(t, a, 2*bequest) // the first one's are still there, some rounds later
	readAndEnd(t, a, d)
}

// readAndEnd has a driver read what each of two owners left, one after the other, of which nothing stays then, and end.
func readAndEnd(t *testing.T, a *testbed.Node, d *testbed.Process) {
	t.Helper()
	var n int
	for i := range 2 {
		d.Tell("read")
		d.Hear(&n)
		awaitObjects(t, a, (1-i)*bequest)
	}
	d.Tell("end")
	d.Succeed(driverTime)
	a.Stop()
}

// TestOrphansOfANode kills a node with processes that own objects, of which the driver's node has copies.
func TestOrphansOfANode(t *testing.T) {
	bed := testbed.New(t)
	c := testbed.NodeConfig{Place: testbed.Place{Env: []string{testLease}}}
	a, b := bed.StartNode(c), bed.StartNode(c)
	testbed.AwaitMembers(a, b)
	d := a.Driver("inherit")
	d.Tell(b.ID)
	var pids [2]int
	d.Hear(&pids)
	if n := a.Objects(); n != 2*bequest {
		t.Fatalf("%d copies came", n)
	}
	b.Kill()
	readAndEnd(t, a, d)
}
