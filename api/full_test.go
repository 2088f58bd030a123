package api_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/node"
)

const (
	smallStore = 64 << 20
	partSize   = 2<<20 + 333
	parts      = 4 * smallStore / partSize
	crumbSize  = 200 << 10 // large enough for the store, small enough to share a file
	crumbs     = 200

	// mostHeap bounds what a process that has read four stores keeps of it beside the store.
	mostHeap = smallStore / 4
)

// part is a value that is known by its number, and like no other.
func part(n, size int) []byte {
	b := make([]byte, size)
	for i := 0; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], uint64(n)<<32+uint64(i)*0x9e3779b97f4a7c15)
	}
	return b
}

func makePart(_ context.Context, n, size int) ([]byte, error) { return part(n, size), nil }

// checkPart compares every byte.
func checkPart(_ context.Context, b []byte, n, size int) (bool, error) {
	return string(b) == string(part(n, size)), nil
}

// heap is what the process that it runs in has reachable.
func heap(context.Context, int) (int64, error) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go of
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), nil
}

var (
	heapFunc      = api.Func1(heap)
	makePartFunc  = api.Func2(makePart)
	checkPartFunc = api.Func3(checkPart)
)

// withinFull bounds a test of a full store: it writes and reads a quarter of a gigabyte, by way of the disk.
const withinFull = 2 * time.Minute

// startSmall gives a node with a small store, and a context that carries a runtime attached to it.
func startSmall(t *testing.T, size int64) (*node.Node, context.Context) {
	t.Helper()
	dir, err := os.MkdirTemp("", "k") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return attachSmall(t, dir, size)
}

// attachSmall is startSmall in a folder that others may share.
func attachSmall(t *testing.T, dir string, size int64) (*node.Node, context.Context) {
	t.Helper()
	n := startNode(t, dir, "s", size)
	t.Setenv("KADRE_SOCKET", n.Socket())
	ctx, cancel := context.WithTimeout(context.Background(), withinFull)
	rt, err := api.Init(ctx)
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
	return n, rt.With(ctx)
}

// startNode starts a node of a cluster in a folder, and sees to it that nothing is left in its store.
func startNode(t *testing.T, dir, state string, size int64) *node.Node {
	t.Helper()
	n, err := node.Start(t.Context(), node.Config{Cluster: "full", RuntimeDir: filepath.Join(dir, "r"), StateDir: filepath.Join(dir, state), CPUs: 4,
		ObjectStoreMemory: size, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var s node.StoreStatus
		empty := func() bool {
			s = n.Status().Store
			return s.Objects+s.Holders+s.Blocks+s.Spilled == 0
		}
		for end := time.Now().Add(within); !empty() && time.Now().Before(end); { // the news of the job's end travels
			runtime.Gosched()
		}
		if !empty() {
			t.Errorf("left in the store: %+v", s)
		}
		if fs, _ := filepath.Glob(filepath.Join(s.SpillDir, "*")); len(fs) != 0 {
			t.Errorf("left on disk: %v", fs)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func TestWorkingSetOfFourStores(t *testing.T) {
	n, c := startSmall(t, smallStore)
	testWorkingSet(t, n, c, parts/2*partSize)
}

func TestWorkingSetOfOtherProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a worker process")
	}
	t.Setenv("KADRE_ISOLATE", "1")
	n, c := startSmall(t, smallStore)
	testWorkingSet(t, n, c, 0)
}

// testWorkingSet writes four times what the store holds, half of it by Put and half by tasks, and has tasks
// read all of it twice, in another order. Of it own bytes are results that never leave their process, and so are
// no business of the store.
func testWorkingSet(t *testing.T, n *node.Node, c context.Context, own int64) {
	keeps := func() (here, there int64) {
		here, _ = heap(c, 0)
		return here, must(heapFunc.Remote(c, 0).Get(c))(t)
	}
	here, there := keeps()
	var refs []api.Ref[[]byte]
	var pages int64
	for i := range parts {
		if i%2 == 0 {
			refs = append(refs, must(api.Put(c, part(i, partSize)))(t))
			continue
		}
		r := makePartFunc.Remote(c, i, partSize)
		if _, err := r.Get(c); err != nil {
			t.Fatal(err)
		}
		refs = append(refs, r)
	}
	for round := range 2 {
		var good []api.Ref[bool]
		for i := range refs {
			k := i * 7 % len(refs)
			good = append(good, checkPartFunc.With(c, refs[k], api.Value(k), api.Value(partSize)))
		}
		for i, g := range good {
			if ok, err := g.Get(c); err != nil || !ok {
				t.Fatalf("round %d, part %d: %v, %v", round, i*7%len(refs), ok, err)
			}
			pages = max(pages, n.Status().Store.Pages)
		}
	}
	s := n.Status()
	if s.Store.Size != smallStore || s.Store.Bytes > smallStore || pages > smallStore {
		t.Errorf("the store grew to %d bytes of pages: %+v", pages, s.Store)
	}
	if h, th := keeps(); h-here > mostHeap+own || th-there > mostHeap+own {
		t.Errorf("after it was read the driver keeps %d bytes more than before, and the process of the tasks %d", h-here, th-there)
	}
	// Only read, an object is written once.
	if x := s.Transfers; x.Spilled == 0 || x.Spilled > parts || x.Restored == 0 || x.Unloaded == 0 || x.Lost != 0 {
		t.Errorf("%d parts: %+v", parts, x)
	}
	t.Logf("%d parts, at most %d MiB of pages: %+v", len(refs), pages>>20, s.Transfers)
}

func TestSmallObjectsShareFiles(t *testing.T) {
	n, c := startSmall(t, 8<<20)
	var refs []api.Ref[[]byte]
	for i := range crumbs {
		r := must(api.Put(c, part(i, crumbSize+i%999)))(t)
		if ok, err := checkPartFunc.With(c, r, api.Value(i), api.Value(crumbSize+i%999)).Get(c); err != nil || !ok {
			t.Fatal(ok, err)
		}
		refs = append(refs, r)
	}
	s := n.Status().Store
	if fs, _ := filepath.Glob(filepath.Join(s.SpillDir, "*")); len(fs) == 0 || len(fs) > s.Spilled/4 {
		t.Errorf("%d objects are in %d files", s.Spilled, len(fs))
	}
	for i, r := range refs {
		if b := must(r.Get(c))(t); string(b) != string(part(i, crumbSize+i%999)) {
			t.Fatalf("object %d is another one", i)
		}
	}
	if s := n.Status().Transfers; s.Spilled < crumbs/2 || s.Restored == 0 {
		t.Errorf("%+v", s)
	}
}

func TestOutOfMemorySaysWhoHoldsIt(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for room")
	}
	_, c := startSmall(t, 16<<20)
	var held []api.Array[byte]
	defer func() {
		for _, a := range held {
			a.Release()
		}
	}()
	for {
		a, err := api.NewArray[byte](c, 3<<20)
		if err == nil {
			held = append(held, a)
			continue
		}
		var oom *api.OutOfMemoryError
		if !errors.As(err, &oom) {
			t.Fatal(err)
		}
		if oom.Want < 3<<20 || oom.Used < 15<<20 || oom.Capacity != 16<<20 || !strings.Contains(err.Error(), "holds 5 objects of ") {
			t.Errorf("%+v", oom)
		}
		break
	}
	held[0].Release()
	held = held[1:]
	a, err := api.NewArray[byte](c, 3<<20)
	if err != nil {
		t.Fatal("after a release: ", err)
	}
	held = append(held, a)
}

func TestDamagedSpillFile(t *testing.T) {
	n, c := startSmall(t, 16<<20)
	put := must(api.Put(c, part(0, 3<<20)))(t)
	made := makePartFunc.Options(api.OwnProcess()).Remote(c, 1, 3<<20) // its result lies in the store
	if _, err := made.Get(c); err != nil {
		t.Fatal(err)
	}
	var others []api.Ref[[]byte]
	for i := range 8 {
		others = append(others, must(api.Put(c, part(2+i, 3<<20)))(t))
	}
	fs, _ := filepath.Glob(filepath.Join(n.Status().Store.SpillDir, "*"))
	if len(fs) < 2 {
		t.Fatalf("spilled: %v", fs)
	}
	spoiled := 0
	for _, f := range fs {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for k := range 2 {
			if strings.Contains(string(b), string(part(k, 64))) {
				b[len(b)/2]++
				spoiled++
			}
		}
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if spoiled != 2 {
		t.Fatalf("the two oldest objects are not spilled, but %d of them", spoiled)
	}
	if b, err := made.Get(c); err != nil || string(b) != string(part(1, 3<<20)) {
		t.Errorf("a task's result is not made again: %v", err)
	}
	var lost *api.ObjectLostError
	if _, err := put.Get(c); !errors.As(err, &lost) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("got %v", err)
	}
	for i, r := range others {
		if b, err := r.Get(c); err != nil || string(b) != string(part(2+i, 3<<20)) {
			t.Errorf("another object: %v", err)
		}
	}
	if s := n.Status().Transfers; s.Lost != 2 {
		t.Errorf("%+v", s)
	}
}

// Two full nodes: results lie on one, which spills them and serves them from files; the other evicts what it
// pulled, for the owner knows where there is more of it.
// TestWritesOnAnotherNode has tasks of another node write to what is sealed.
func TestWritesOnAnotherNode(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a worker process")
	}
	t.Setenv("KADRE_CHECK", "seal,empty")
	away, c := startPair(t, 64<<20)
	there := api.OnNode(api.NodeID(away.ID()), false)
	for _, n := range []int{3, 50_000} {
		a := must(api.ArrayOf(c, make([]float64, n)))(t)
		ref := must(api.Put(c, a))(t)
		id := ref.ID()
		_, err := scribbleFunc.Options(there).With(c, ref).Get(c)
		if err == nil || !strings.Contains(err.Error(), hex.EncodeToString(id[:])) || a.Data()[0] != 0 {
			t.Errorf("%d elements: a write to %v: %v", n, id, err)
		}
		if _, err := earlyFunc.Options(there).Remote(c, n).Get(c); err == nil || !strings.Contains(err.Error(), "write to sealed object") {
			t.Errorf("%d elements: a write through an early slice: %v", n, err)
		}
		a.Release()
	}
}

// startPair gives a node and a context whose runtime is attached to another one that knows it.
func startPair(t *testing.T, size int64) (away *node.Node, c context.Context) {
	t.Helper()
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	away = startNode(t, dir, "away", size)
	_, c = attachSmall(t, dir, size)
	for len(must(api.Nodes(c))(t)) < 2 { // ends with c
		runtime.Gosched()
	}
	return away, c
}

func TestFullNodesShare(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a worker process")
	}
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	away := startNode(t, dir, "away", 16<<20)
	home, c := attachSmall(t, dir, 16<<20)
	for len(must(api.Nodes(c))(t)) < 2 { // ends with c
		runtime.Gosched()
	}
	there := makePartFunc.Options(api.OnNode(api.NodeID(away.ID()), false))
	const objects = 12
	var refs []api.Ref[[]byte]
	for i := range objects {
		refs = append(refs, there.Remote(c, i, 3<<20))
	}
	for range 2 {
		for i, r := range refs {
			if b, err := r.Get(c); err != nil || string(b) != string(part(i, 3<<20)) {
				t.Fatalf("object %d: %v", i, err)
			}
		}
	}
	h, a := home.Status().Transfers, away.Status().Transfers
	if h.Evicted == 0 || h.Spilled != 0 || h.Pulled <= objects || a.Spilled == 0 || a.Restored != 0 {
		t.Errorf("home %+v, away %+v", h, a)
	}
}
