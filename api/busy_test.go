package api_test

import (
	"bytes"
	"context"
	"errors"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// Remote waits at the bound of unfinished work.

var (
	boxedFile = api.Func2(func(c context.Context, file string, _ []byte) (int, error) { return waitsForFile(c, file) }, api.RegisterAs("test.boxedFile"))
	manyKids  = api.Func2(startsMany, api.RegisterAs("test.manyKids"))
)

// startsMany starts n tasks before it waits for the first: on this node by its name, where at is given.
func startsMany(ctx context.Context, n int, at api.NodeID) (int, error) {
	f := addOne
	if at != "" {
		f = f.Options(api.OnNode(at, false))
	}
	refs := make([]api.Ref[int], n)
	for i := range refs {
		refs[i] = f.Remote(ctx, 0)
	}
	vs, err := api.GetAll(ctx, refs)
	return len(vs), err
}

var addOne = api.Func1(func(_ context.Context, n int) (int, error) { return n + 1, nil }, api.RegisterAs("test.addOne"))

// waitsForRoom waits until a goroutine of this process waits in Remote.
func waitsForRoom(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(time.Millisecond) {
		var b bytes.Buffer
		pprof.Lookup("goroutine").WriteTo(&b, 1)
		if bytes.Contains(b.Bytes(), []byte("(*Limit).Await")) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nobody waits for room")
		}
	}
}

// fills submits calls until one waits, and ends the context of that.
func fills(t *testing.T, c context.Context, most int, call func(ctx context.Context) api.Ref[int]) {
	t.Helper()
	var refs []api.Ref[int]
	ctx, cancel := context.WithCancel(c)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for len(refs) < most && ctx.Err() == nil {
			refs = append(refs, call(ctx))
		}
	}()
	waitsForRoom(t)
	cancel()
	<-done
	if len(refs) == most {
		t.Errorf("all %d calls were submitted", most)
	}
	last := len(refs) - 1
	for i, r := range refs {
		switch _, err := r.Get(c); {
		case i == last && !errors.Is(err, api.ErrBusy):
			t.Errorf("the call that waited for room: %v", err)
		case i < last && !errors.Is(err, api.ErrCancelled):
			t.Errorf("call %d of %d: %v", i, last, err)
		}
	}
	if v, err := addOne.Remote(c, 1).Get(c); v != 2 || err != nil {
		t.Error("afterwards:", v, err)
	}
}

func self(t *testing.T, c context.Context) api.NodeID {
	t.Helper()
	nodes, err := api.Nodes(c)
	if err != nil || len(nodes) != 1 {
		t.Fatal(nodes, err)
	}
	return nodes[0].ID
}

func TestRemoteWaitsAtTheBound(t *testing.T) {
	t.Setenv("KADRE_TEST_UNFINISHED", "30")
	c := start(t)
	never := t.TempDir() + "/never"
	fills(t, c, 20_000, func(ctx context.Context) api.Ref[int] { return untilFile.Remote(ctx, never) })
	at := self(t, c)
	placed := untilFile.Options(api.OnNode(at, false))
	fills(t, c, 20_000, func(ctx context.Context) api.Ref[int] { return placed.Remote(ctx, never) })
	for _, at := range []api.NodeID{"", at} {
		if n, err := manyKids.Remote(c, 200, at).Get(c); n != 200 || err != nil {
			t.Errorf("a task that starts many on %q: %d, %v", at, n, err)
		}
	}
	xs := make([]int, 10_000)
	if vs, err := api.GetAll(c, addOne.Map(c, xs)); len(vs) != len(xs) || err != nil {
		t.Error(len(vs), err)
	}
}

func TestRemoteWaitsAtTheBoundOfTheWorker(t *testing.T) {
	t.Setenv("KADRE_TEST_UNFINISHED", "30")
	c := startIsolated(t)
	never := t.TempDir() + "/never"
	fills(t, c, 20_000, func(ctx context.Context) api.Ref[int] { return untilFile.Remote(ctx, never) })
	for _, at := range []api.NodeID{"", self(t, c)} {
		if n, err := manyKids.Remote(c, 200, at).Get(c); n != 200 || err != nil {
			t.Errorf("a task that starts many on %q: %d, %v", at, n, err)
		}
	}
	xs := make([]int, 10_000)
	if vs, err := api.GetAll(c, addOne.Map(c, xs)); len(vs) != len(xs) || err != nil {
		t.Error(len(vs), err)
	}
}

func TestRemoteWaitsAtTheBoundOfBytes(t *testing.T) {
	t.Setenv("KADRE_TEST_UNFINISHED", "1000000,100000")
	c := start(t)
	never, box := t.TempDir()+"/never", make([]byte, 2000)
	placed := boxedFile.Options(api.OnNode(self(t, c), false))
	fills(t, c, 100, func(ctx context.Context) api.Ref[int] { return placed.Remote(ctx, never, box) })
}
