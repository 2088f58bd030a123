package objstore

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

func info(o id.Object, data []byte, attempt uint32, holders ...id.Node) wire.ObjectInfo {
	return wire.ObjectInfo{ID: o, Owner: owner, State: wire.ObjectReady, Stored: true, Size: uint64(len(data)),
		Hash: xxhash.Sum64(data), Attempt: attempt, Holders: holders, Job: job}
}

func TestPull(t *testing.T) {
	for _, size := range []int{0, 1, 1000, ChunkSize - 1, ChunkSize, ChunkSize + 1, 5*ChunkSize + 77} {
		c := newCluster(t)
		a, b := c.add("a"), c.add("b")
		o, data := object(1), noise(uint64(size), size)
		a.put(o, 3, data)
		if err := b.Pull(t.Context(), info(o, data, 3, "b", "a")); err != nil {
			t.Fatal(err)
		}
		if got := b.get(o); !bytes.Equal(got, data) || got == nil {
			t.Fatalf("size %d: %d other bytes came", size, len(got))
		}
		if got := b.copies(); len(got) != 1 || got[0] != (wire.Copied{ID: o, Attempt: 3, Node: "b"}) {
			t.Fatalf("the owner was told %v", got)
		}
		if err := b.Pull(t.Context(), info(o, data, 3, "a")); err != nil { // it is here
			t.Fatal(err)
		}
		if s := b.Stats(); s.Pulled != 1 || s.BytesIn != uint64(size) || a.Stats().BytesOut != uint64(size) {
			t.Fatalf("%+v, %+v", s, a.Stats())
		}
	}
}

func TestHoldersFailInTheMiddle(t *testing.T) {
	c := newCluster(t)
	a, b, d, e := c.add("a"), c.add("b"), c.add("d"), c.add("e")
	o, data := object(1), noise(1, 7*ChunkSize)
	for _, n := range []*node{a, b, d} {
		n.put(o, 0, data)
	}
	c.hook = func(from id.Node, r chunkRequest, dst []byte) error {
		switch {
		case from == "a" && r.off > ChunkSize:
			return errRefused
		case from == "b" && r.off > 0:
			dst[77] ^= 1
		}
		return nil
	}
	if err := e.Pull(t.Context(), info(o, data, 0, "a", "b", "nobody", "d")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(e.get(o), data) {
		t.Fatal("other bytes came")
	}
}

func TestNothingWrongIsSealed(t *testing.T) {
	c := newCluster(t)
	a, b := c.add("a"), c.add("b")
	o, data := object(1), noise(1, 2*ChunkSize+5)
	a.put(o, 1, data)
	right := info(o, data, 1, "a")
	hash, size, attempt := right, right, right
	hash.Hash++
	size.Size++
	attempt.Attempt = 2
	for what, i := range map[string]wire.ObjectInfo{"hash": hash, "size": size, "attempt": attempt, "no holder": info(o, data, 1)} {
		err := b.Pull(t.Context(), i)
		if err == nil {
			t.Fatalf("%s: pulled", what)
		}
		if want := map[bool]error{true: ErrCorrupt, false: ErrNoHolder}[what == "hash"]; !errors.Is(err, want) {
			t.Fatalf("%s: %v", what, err)
		}
		if exists, _ := b.arena.State(o); exists || len(b.copies()) != 0 {
			t.Fatalf("%s: it is there", what)
		}
	}
	c.hook = func(_ id.Node, r chunkRequest, dst []byte) error { dst[0]++; return nil }
	if err := b.Pull(t.Context(), right); !errors.Is(err, ErrNoHolder) || !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if exists, _ := b.arena.State(o); exists {
		t.Fatal("corrupt bytes were sealed")
	}
}

func TestEarlierAttemptGivesWay(t *testing.T) {
	c := newCluster(t)
	a, b := c.add("a"), c.add("b")
	o, stale, data := object(1), noise(1, 100), noise(2, 200)
	b.put(o, 0, stale)
	a.put(o, 1, data)
	if err := b.Pull(t.Context(), info(o, data, 1, "a")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.get(o), data) {
		t.Fatal("the fenced copy is still there")
	}
	if err := b.Pull(t.Context(), info(o, stale, 0, "a")); err != nil { // asked for by one who knows no better
		t.Fatal(err)
	}
	if !bytes.Equal(b.get(o), data) {
		t.Fatal("the later copy went")
	}
}

// gate lets chunks pass when it is opened.
func gate(c *cluster) (asked *atomic.Int32, open func()) {
	asked = new(atomic.Int32)
	ch := make(chan struct{})
	c.hook = func(id.Node, chunkRequest, []byte) error {
		asked.Add(1)
		<-ch
		return nil
	}
	return asked, sync.OnceFunc(func() { close(ch) })
}

func TestPullsOfOneObjectAreOne(t *testing.T) {
	c := newCluster(t)
	a, b := c.add("a"), c.add("b")
	o, data := object(1), noise(1, 1000)
	a.put(o, 0, data)
	asked, open := gate(c)
	defer open()
	impatient, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 11)
	go func() { errs <- b.Pull(impatient, info(o, data, 0, "a")) }()
	until(t, "a chunk is asked for", func() bool { return asked.Load() == 1 })
	for range 10 {
		go func() { errs <- b.Pull(t.Context(), info(o, data, 0, "a")) }()
	}
	until(t, "ten joined", func() bool { return b.Stats().Joined == 10 })
	cancel() // the first one's end does not end it for the others
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	open()
	for range 10 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if s := b.Stats(); s.Pulled != 1 || asked.Load() != 1 || s.Pulling != 0 {
		t.Fatalf("%+v, %d requests", s, asked.Load())
	}
}

func TestPullEndsWithTheLastWaiter(t *testing.T) {
	c := newCluster(t)
	a, b := c.add("a"), c.add("b")
	o, data := object(1), noise(1, 1000)
	a.put(o, 0, data)
	asked, open := gate(c)
	defer open()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Pull(ctx, info(o, data, 0, "a")) }()
	until(t, "a chunk is asked for", func() bool { return asked.Load() == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	go func() { done <- b.Pull(t.Context(), info(o, data, 0, "a")) }() // while the first still has the room
	open()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.get(o), data) {
		t.Fatal("other bytes came")
	}
}

func TestJobEndsDuringPull(t *testing.T) {
	c := newCluster(t)
	a, b := c.add("a"), c.add("b")
	o, data := object(1), noise(1, 1000)
	a.put(o, 0, data)
	asked, open := gate(c)
	defer open()
	done := make(chan error)
	go func() { done <- b.Pull(t.Context(), info(o, data, 0, "a")) }()
	until(t, "a chunk is asked for", func() bool { return asked.Load() == 1 })
	b.FreeJob(job)
	open()
	if err := <-done; !errors.Is(err, ErrFreed) {
		t.Fatal(err)
	}
	if exists, _ := b.arena.State(o); exists || len(b.copies()) != 0 {
		t.Fatal("it was sealed after its job had ended")
	}
}

func TestCloseEndsPulls(t *testing.T) {
	c := newCluster(t)
	a, b := c.add("a"), c.add("b")
	o, data := object(1), noise(1, 1000)
	a.put(o, 0, data)
	asked, open := gate(c)
	done := make(chan error)
	go func() { done <- b.Pull(t.Context(), info(o, data, 0, "a")) }()
	until(t, "a chunk is asked for", func() bool { return asked.Load() == 1 })
	open()
	b.Close()
	if err := <-done; err != nil && !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := b.Pull(t.Context(), info(object(2), data, 0, "a")); !errors.Is(err, ErrClosed) || !strings.HasPrefix(err.Error(), "objstore: ") {
		t.Fatal(err)
	}
}

func TestManyPullsAtOnce(t *testing.T) {
	c := newCluster(t)
	a, b := c.add("a"), c.add("b")
	var wg sync.WaitGroup
	for i := range byte(60) {
		data := noise(uint64(i), 1000*int(i))
		a.put(object(i), 0, data)
		for range 3 {
			wg.Go(func() {
				if err := b.Pull(t.Context(), info(object(i), data, 0, "a")); err != nil {
					t.Error(err)
				}
				if !bytes.Equal(b.get(object(i)), data) {
					t.Error("other bytes came")
				}
			})
		}
	}
	wg.Wait()
}

func FuzzServe(f *testing.F) {
	c := newCluster(f)
	a := c.add("a")
	data := noise(1, 1000)
	a.put(object(1), 0, data)
	r := chunkRequest{object(1), 0, 1000, 10, 20, owner, false}
	f.Add(r.append(nil))
	f.Add([]byte{})
	f.Add([]byte{RequestKind})
	r.bare = true
	f.Add(r.append(nil))
	r.off = 1<<64 - 1
	f.Add(r.append(nil))
	r.off, r.n = 990, 11
	f.Add(r.append(nil))
	r.id = object(2)
	f.Add(r.append(nil))
	f.Fuzz(func(t *testing.T, req []byte) {
		meta, got, release, err := a.Serve("b", req)
		if err != nil {
			if release != nil || got != nil {
				t.Fatal("an error and data")
			}
			return
		}
		defer release()
		r, err := parseChunkRequest(req)
		if err != nil || len(meta) != 4 && !(r.bare && len(meta) == 0) || !bytes.Equal(got, data[r.off:r.off+uint64(r.n)]) {
			t.Fatalf("%+v: %v", r, err)
		}
	})
}
