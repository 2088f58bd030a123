package testbed_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

const (
	keptArrays = 3
	keptPuts   = 12
	keptSize   = 3 << 20
)

func init() { drivers["keep"] = attached(keep) }

// putKept puts keptPuts objects.
func putKept(ctx context.Context) (puts []api.Ref[[]byte], err error) {
	for i := range keptPuts {
		r, err := api.Put(ctx, pattern(keptSize, i))
		if err != nil {
			return nil, err
		}
		puts = append(puts, r)
	}
	return puts, nil
}

// keep holds some Arrays, and refers to more objects than the store of its node has room for.
func keep(ctx context.Context, s *testbed.Stage) error {
	puts, err := putKept(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for range keptArrays {
		a, err := api.NewArray[byte](ctx, keptSize)
		if err != nil {
			return err
		}
		defer a.Release()
		r, err := api.Put(ctx, a)
		if err != nil {
			return err
		}
		id := r.ID()
		ids = append(ids, hex.EncodeToString(id[:]))
	}
	if err := s.Say(ids); err != nil {
		return err
	}
	if err := s.Hear(new(string)); err != nil {
		return err
	}
	for i, r := range puts {
		if b, err := r.Get(ctx); err != nil || digest(b) != digest(pattern(keptSize, i)) {
			return fmt.Errorf("object %d: %w", i, err)
		}
	}
	return nil
}

// holders is what `kadre memory --json` says of one node.
type holders struct {
	Node    string
	Holders []struct {
		PID, Objects int
		Kind         string
		Stopped      bool
		Bytes        int64
	}
	Jobs []struct{ Driver, Objects, Spilled int }
}

// TestLookingIntoStores asks one of two nodes who holds what, while a driver at the other one is stopped.
func TestLookingIntoStores(t *testing.T) {
	bed := testbed.New(t)
	args := []string{"--object-store-memory", "32MiB"}
	a, b := bed.StartNode(testbed.NodeConfig{Args: args}), bed.StartNode(testbed.NodeConfig{Args: args})
	testbed.AwaitMembers(a, b)
	d := b.Driver("keep")
	var ids []string
	d.Hear(&ids)
	d.Signal(syscall.SIGSTOP)
	kadre := func(args ...string) string {
		t.Helper()
		p := bed.Kadre(testbed.Place{}, append(args, "--socket", a.Socket)...)
		if p.Code() != 0 {
			t.Fatalf("%v: %s", args, p.Stderr())
		}
		return p.Stdout()
	}
	var all []holders
	testbed.Until(t, 10*time.Second, func() bool { // the signal takes its time
		if err := json.Unmarshal([]byte(kadre("memory", "--json")), &all); err != nil {
			t.Fatal(err)
		}
		return len(all) == 2 && len(all[1].Holders) == 2 && all[1].Holders[0].Stopped
	}, func() string { return fmt.Sprintf("memory: %+v", all) })
	h, jobs := all[1].Holders[0], all[1].Jobs
	if all[0].Node != a.ID || len(all[0].Jobs) != 0 || all[1].Node != b.ID || h.PID != d.PID || h.Kind != "driver" || h.Objects != keptArrays || h.Bytes < keptArrays*keptSize {
		t.Errorf("memory: %+v", all)
	}
	if len(jobs) != 1 || jobs[0].Driver != d.PID || jobs[0].Objects+jobs[0].Spilled != keptArrays+keptPuts || jobs[0].Spilled == 0 {
		t.Errorf("jobs: %+v", jobs)
	}
	text := kadre("memory")
	for _, want := range []string{fmt.Sprint(d.PID), "stopped", "spilled: ", "held by none", a.ID[len(a.ID)-8:], b.ID[len(b.ID)-8:]} {
		if !strings.Contains(text, want) {
			t.Errorf("memory does not say %q:\n%s", want, text)
		}
	}
	if only := kadre("memory", "--node", a.ID[len(a.ID)-8:]); strings.Contains(only, "driver") {
		t.Errorf("of one node:\n%s", only)
	}
	var objects []struct {
		ID, State, Node string
		Holders         []int
	}
	if err := json.Unmarshal([]byte(kadre("list", "objects", "--json")), &objects); err != nil {
		t.Fatal(err)
	}
	states := map[string]int{}
	for _, o := range objects {
		states[o.State]++
		if o.Node != b.ID || strings.Contains(strings.Join(ids, " "), o.ID) != (len(o.Holders) == 1 && o.Holders[0] == d.PID) {
			t.Errorf("object %+v", o)
		}
	}
	if len(objects) != keptArrays+keptPuts || states["SPILLED"] != jobs[0].Spilled || states["SEALED"] != jobs[0].Objects {
		t.Errorf("objects: %v", states)
	}
	if p := bed.Kadre(testbed.Place{}, "memory", "--node", "nobody", "--socket", a.Socket); p.Code() != 1 || p.Stdout() != "" {
		t.Errorf("a node that there is not: %d, %s", p.Code(), p.Stdout())
	}
	d.Signal(syscall.SIGCONT)
	d.Tell("end")
	d.Succeed(time.Minute)
	b.Stop()
	a.Stop()
}

// TestDoctorNamesDamage spoils a word of a running node's store. Doctor names it, and says when it is whole again.
func TestDoctorNamesDamage(t *testing.T) {
	testbed.NeedRoot(t)
	bed := testbed.New(t)
	args := []string{"--object-store-memory", "64MiB"}
	a, b := bed.StartNode(testbed.NodeConfig{Args: args}), bed.StartNode(testbed.NodeConfig{Args: args})
	testbed.AwaitMembers(a, b)
	d := b.Driver("keep")
	var ids []string
	d.Hear(&ids)
	f, at := entryOf(t, b.PID, ids[0])
	defer f.Close()
	was := make([]byte, 8)
	if _, err := f.ReadAt(was, at); err != nil {
		t.Fatal(err)
	}
	write := func(size []byte) {
		t.Helper()
		if _, err := f.WriteAt(size, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []*testbed.Node{b, a} { // each checks both
		write(binary.LittleEndian.AppendUint64(nil, 50<<20))
		if p := bed.Kadre(testbed.Place{}, "doctor", "--socket", n.Socket); p.Code() != 1 || !strings.Contains(p.Stdout(), "words of its room") || !strings.Contains(p.Stdout(), "BAD") {
			t.Errorf("%s with a damaged store: %d\n%s%s", n.Name, p.Code(), p.Stdout(), p.Stderr())
		}
		write(was)
		if p := bed.Kadre(testbed.Place{}, "doctor", "--socket", n.Socket); p.Code() != 0 || strings.Count(p.Stdout(), "every invariant holds") != 2 {
			t.Errorf("%s with whole stores: %d\n%s%s", n.Name, p.Code(), p.Stdout(), p.Stderr())
		}
	}
	d.Tell("end")
	d.Succeed(time.Minute)
	b.Stop()
	a.Stop()
}

// entryOf opens the file of a node's store, and says where in it the size of an object stands.
func entryOf(t *testing.T, pid int, object string) (f *os.File, at int64) {
	t.Helper()
	id, err := hex.DecodeString(object)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		var st syscall.Stat_t
		if err := syscall.Stat(fd, &st); err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG || st.Nlink > 0 || st.Size < 64<<20 {
			continue // a store has no name
		}
		f, err := os.OpenFile(fd, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 32<<20) // the entries are before the data
		n, err := f.ReadAt(head, 0)
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		const sizeBehindID = 5 * 8 // as package arena lays an entry out
		if i := bytes.Index(head[:n], id[4:]); i > 0 {
			return f, int64(i) + sizeBehindID
		}
		f.Close()
	}
	t.Fatalf("process %d has no store with object %s: %v", pid, object, fds)
	return nil, 0
}
