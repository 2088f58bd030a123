package objstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/spill"
)

const mib = 1 << 20

// squeeze has a node make room until only what is held is left in the arena.
func (n *node) squeeze() {
	n.c.t.Helper()
	if err := n.Room(context.Background(), Need{Size: n.arena.Size()}); err != nil {
		n.c.t.Fatal(err)
	}
}

func (n *node) wasDropped() []wire.Copied {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dropped)
}

// files are those with spilled objects.
func (n *node) files() []string {
	fs, _ := filepath.Glob(filepath.Join(n.dir, "*"))
	return fs
}

func TestSpillAndRestore(t *testing.T) {
	c := newCluster(t)
	a := c.add("a")
	sizes := []int{0, 1, 5000, 5000, mib, 5*mib + 3}
	for i, n := range sizes {
		a.put(object(byte(i)), 0, noise(uint64(i), n))
	}
	h, _ := a.arena.Get(object(2))
	if err := a.Room(t.Context(), Need{Size: a.arena.Size()}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errRefused)
	if err := a.Room(ctx, Need{Size: a.arena.Size()}); !errors.Is(err, errRefused) {
		t.Fatalf("with an object held: %v", err)
	}
	h.Release()
	if s := a.Spilled(); s.Objects != 5 || s.Files != 3 || len(a.files()) != 3 {
		t.Fatalf("%+v, %v", s, a.files())
	}
	a.squeeze()
	if u := a.arena.Audit(); u.Sealed != 0 {
		t.Fatalf("left: %v", u)
	}
	for i, n := range sizes {
		data := noise(uint64(i), n)
		if err := a.Pull(t.Context(), info(object(byte(i)), data, 0, "a")); err != nil {
			t.Fatal(err)
		}
		if got := a.get(object(byte(i))); got == nil || !bytes.Equal(got, data) {
			t.Fatalf("object %d: %d other bytes", i, len(got))
		}
	}
	written := a.files()
	a.squeeze() // nothing is written a second time
	if s := a.Stats(); s.Spilled != 6 || s.Restored != 6 || s.Unloaded != 6 || a.Spilled().Objects != 6 || !slices.Equal(a.files(), written) {
		t.Errorf("%+v, %+v, %v", s, a.Spilled(), a.files())
	}
	for i := range sizes {
		a.Free([]id.Object{object(byte(i))})
	}
	if a.Spilled() != (spill.Stats{}) || len(a.files()) != 0 {
		t.Errorf("left: %+v, %v", a.Spilled(), a.files())
	}
	if len(a.copies())+len(a.wasDropped()) != 0 {
		t.Error("the owner was told of what is not its business")
	}
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	c := newCluster(t)
	a := c.add("a")
	for i := range byte(6) {
		a.put(object(i), 0, noise(1, 10*mib))
	}
	if err := a.Room(t.Context(), Need{Size: 15 * mib}); err != nil {
		t.Fatal(err)
	}
	if s := a.Spilled(); s.Objects < 1 || s.Objects > 3 {
		t.Errorf("%+v: it was room for one that was needed", s)
	}
}

func TestWatchKeepsRoom(t *testing.T) {
	c := newCluster(t)
	a := c.add("a")
	for i := range byte(60) {
		a.put(object(i), 0, noise(1, mib))
	}
	a.wake()
	until(t, "room", func() bool { return a.used() <= lowWater })
}

func TestCopiesGoWithoutBeingWritten(t *testing.T) {
	c := newCluster(t)
	a, b := c.add("a"), c.add("b")
	o, data := object(1), noise(1, 2*mib)
	a.put(o, 7, data)
	pull := func() {
		t.Helper()
		if err := b.Pull(t.Context(), info(o, data, 7, "a")); err != nil || !bytes.Equal(b.get(o), data) {
			t.Fatal(err)
		}
	}
	pull()
	b.squeeze() // the owner knows no other copy
	if s := b.Spilled(); s.Objects != 1 || b.asked != 1 {
		t.Fatalf("%+v, asked %d times", s, b.asked)
	}
	b.spare = true
	pull() // from the files
	b.squeeze()
	if s := b.Stats(); s.Unloaded != 1 || s.Spilled != 1 || b.Spilled().Objects != 1 || b.asked != 1 || s.Pulled != 1 {
		t.Fatalf("%+v, %+v, asked %d times", s, b.Spilled(), b.asked)
	}
	b.Free([]id.Object{o})
	pull()
	b.squeeze()
	if s := b.Stats(); s.Evicted != 1 || b.Spilled().Objects != 0 || s.Pulled != 2 {
		t.Fatalf("%+v, %+v", s, b.Spilled())
	}
	pull() // from a
	if s := b.Stats(); s.Pulled != 3 || len(b.copies()) != 3 {
		t.Errorf("%+v, told %v", s, b.copies())
	}
	b.Free([]id.Object{o})
	a.squeeze()
	if s := a.Stats(); s.Evicted != 0 || s.Spilled != 1 {
		t.Errorf("what was made here is no copy: %+v", s)
	}
}

func TestServeFromFiles(t *testing.T) {
	c := newCluster(t)
	a, b := c.add("a"), c.add("b")
	o, data := object(1), noise(1, 2*ChunkSize+99)
	a.put(o, 1, data)
	a.squeeze()
	if err := b.Pull(t.Context(), info(o, data, 1, "a")); err != nil || !bytes.Equal(b.get(o), data) {
		t.Fatal(err)
	}
	if s := a.Stats(); s.Restored != 0 || s.ChunksOut != 3 || s.BytesOut != uint64(len(data)) {
		t.Errorf("%+v", s)
	}
}

func TestMissingIsToldToTheOwner(t *testing.T) {
	c := newCluster(t)
	a, b := c.add("a"), c.add("b")
	o, data := object(1), noise(1, 100)
	if err := b.Pull(t.Context(), info(o, data, 4, "a")); !errors.Is(err, ErrNoHolder) {
		t.Fatal(err)
	}
	if got := a.wasDropped(); len(got) != 1 || got[0] != (wire.Copied{ID: o, Attempt: 4, Node: "a"}) {
		t.Errorf("told %v", got)
	}
}

func TestDamagedFileIsALostCopy(t *testing.T) {
	for what, read := range map[string]func(a, b *node, i wire.ObjectInfo) error{
		"here":      func(a, _ *node, i wire.ObjectInfo) error { return a.Pull(context.Background(), i) },
		"elsewhere": func(_, b *node, i wire.ObjectInfo) error { return b.Pull(context.Background(), i) },
	} {
		t.Run(what, func(t *testing.T) {
			c := newCluster(t)
			a, b := c.add("a"), c.add("b")
			bad, good := noise(1, 2*mib), noise(2, 2*mib)
			a.put(object(1), 0, bad)
			a.squeeze()
			f, err := os.ReadFile(a.files()[0])
			if err != nil {
				t.Fatal(err)
			}
			f[len(f)-1]++
			if err := os.WriteFile(a.files()[0], f, 0o600); err != nil {
				t.Fatal(err)
			}
			a.put(object(2), 0, good)
			a.squeeze()
			err = read(a, b, info(object(1), bad, 0, "a"))
			if !errors.Is(err, ErrNoHolder) || !strings.Contains(err.Error(), "does not match its checksum") {
				t.Errorf("got %v", err)
			}
			if got := a.wasDropped(); len(got) != 1 || got[0].ID != object(1) {
				t.Errorf("the owner was told %v", got)
			}
			if err := read(a, b, info(object(2), good, 0, "a")); err != nil {
				t.Errorf("its neighbour: %v", err)
			}
			// Made again, it is like any other.
			a.put(object(1), 1, bad)
			if err := read(a, b, info(object(1), bad, 1, "a")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDiskThatCannotBeWritten(t *testing.T) {
	c := newCluster(t)
	a := c.add("a")
	if err := os.WriteFile(a.dir, nil, 0o600); err != nil { // where the folder is to be
		t.Fatal(err)
	}
	o, data := object(1), noise(1, mib)
	a.put(o, 0, data)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		until(t, "failure", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.events) > 0 })
		cancel(nil)
	}()
	err := a.Room(ctx, Need{Size: a.arena.Size()})
	if err == nil || !strings.Contains(err.Error(), a.dir) {
		t.Errorf("got %v", err)
	}
	if !bytes.Equal(a.get(o), data) {
		t.Error("it is gone")
	}
}

// A file that goes bad after its object was read back is no loss while the arena has it; the object is then
// written anew.
func TestDamageAfterRestore(t *testing.T) {
	c := newCluster(t)
	a := c.add("a")
	o, data := object(1), noise(1, 2*mib)
	a.put(o, 3, data)
	a.squeeze()
	i, _ := a.cfg.Spill.Find(o)
	if err := a.Pull(t.Context(), info(o, data, 3, "a")); err != nil {
		t.Fatal(err)
	}
	a.lose(i, owner, spill.ErrCorrupt) // who read a part of it for another node found it damaged
	if s := a.Stats(); s.Lost != 0 || len(a.wasDropped()) != 0 || len(a.files()) != 0 {
		t.Fatalf("%+v, the owner was told %v, left %v", s, a.wasDropped(), a.files())
	}
	a.squeeze()
	if err := a.Pull(t.Context(), info(o, data, 3, "a")); err != nil || !bytes.Equal(a.get(o), data) {
		t.Fatal(err)
	}
	if s := a.Stats(); s.Spilled != 2 || s.Restored != 2 || s.Unloaded != 0 {
		t.Errorf("%+v", s)
	}
	a.Free([]id.Object{o})
}

// onSmallDisk is a node whose spill folder lies on a file system of 9 MiB.
func onSmallDisk(t *testing.T) *node {
	t.Helper()
	c := newCluster(t)
	a := c.add("a")
	disk := filepath.Dir(a.dir)
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=9m"); err != nil {
		t.Skip("needs to mount a small file system:", err)
	}
	c.after = func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}
	return a
}

// A disk that is too small takes what fits; the rest stays in memory, and whoever wants room is told why there is
// none. When something is freed there is room again.
func TestDiskFull(t *testing.T) {
	a := onSmallDisk(t)
	const objects = 10
	for i := range byte(objects) {
		a.put(object(i), 0, noise(uint64(i), 2*mib))
	}
	a.squeeze() // moves some out, which is enough for a try
	err := a.Room(t.Context(), Need{Size: a.arena.Size()})
	if !errors.Is(err, ErrNoRoom) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	if s := a.Spilled(); s.Objects != 4 || len(a.files()) != 4 {
		t.Errorf("on a disk of 9 MiB: %+v, %v", s, a.files())
	}
	for i := range byte(objects) {
		data := noise(uint64(i), 2*mib)
		if err := a.Pull(t.Context(), info(object(i), data, 0, "a")); err != nil || !bytes.Equal(a.get(object(i)), data) {
			t.Errorf("object %d: %v", i, err)
		}
	}
	for i := range byte(objects - 4) {
		a.Free([]id.Object{object(i)})
	}
	until(t, "room", func() bool { return a.Room(t.Context(), Need{Size: a.arena.Size()}) == nil }) // the disk is tried again
	if s := a.Stats(); s.Lost != 0 || a.Spilled().Objects != 4 {
		t.Errorf("%+v, %+v", s, a.Spilled())
	}
}

// A full disk first loses the files of what is in memory again.
func TestFullDiskLosesFilesOfWhatIsInMemory(t *testing.T) {
	a := onSmallDisk(t)
	put := func(i byte) { a.put(object(i), 0, noise(uint64(i), 2*mib)) }
	check := func(i byte) {
		t.Helper()
		data := noise(uint64(i), 2*mib)
		if err := a.Pull(t.Context(), info(object(i), data, 0, "a")); err != nil || !bytes.Equal(a.get(object(i)), data) {
			t.Errorf("object %d: %v", i, err)
		}
	}
	for i := range byte(4) {
		put(i)
	}
	a.squeeze()
	if s := a.Spilled(); s.Objects != 4 || s.Disk < 8*mib {
		t.Fatalf("%+v", s)
	}
	var held []*arena.Hold
	for i := range byte(4) {
		check(i)
		h, ok := a.arena.Get(object(i))
		if !ok {
			t.Fatal("not in memory: ", i)
		}
		held = append(held, h)
	}
	for i := range byte(3) {
		put(4 + i)
	}
	if err := a.Room(t.Context(), Need{Size: 56 * mib}); err != nil {
		t.Fatal(err)
	}
	if u := a.arena.Audit(); u.Sealed != 4 || a.Spilled().Objects != 3 {
		t.Errorf("%+v, %v", a.Spilled(), u)
	}
	for _, h := range held {
		h.Release()
	}
	for i := range byte(7) {
		check(i)
	}
	a.FreeJob(job)
}

func TestFreedWhileSpilled(t *testing.T) {
	c := newCluster(t)
	a := c.add("a")
	for i := range byte(4) {
		a.put(object(i), uint32(i), noise(1, 2*mib))
	}
	a.squeeze()
	a.Free([]id.Object{object(1)})
	if s := a.Spilled(); s.Objects != 3 || len(a.files()) != 3 {
		t.Fatalf("%+v, %v", s, a.files())
	}
	if at, ok := a.Attempt(object(2)); !ok || at != 2 {
		t.Errorf("attempt %d, %v", at, ok)
	}
	// A later attempt is wanted: the one here was fenced.
	if err := a.Pull(t.Context(), info(object(2), noise(2, 2*mib), 3, "a")); !errors.Is(err, ErrNoHolder) {
		t.Errorf("got %v", err)
	}
	a.FreeJob(job)
	if len(a.files()) != 0 || a.Spilled() != (spill.Stats{}) {
		t.Errorf("left %v, %+v", a.files(), a.Spilled())
	}
}

// Everybody creates, reads and frees in a store that is far too small, while it spills.
func TestCrowd(t *testing.T) {
	c := newCluster(t)
	a := c.add("a")
	var wg sync.WaitGroup
	for g := range byte(4) {
		wg.Go(func() {
			for i := range byte(40) {
				o := id.Task{14: g + 1, 15: i}.Object(0)
				size := int(i) * 100_000 % (3 * mib)
				data := noise(uint64(g)<<8|uint64(i), size)
				for {
					w, err := a.arena.Create(o, int64(size), job, 0)
					if n, ok := needOf(int64(size), err); ok {
						if err := a.Room(t.Context(), n); err != nil {
							t.Error(err)
							return
						}
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					copy(w.Bytes(), data)
					w.Seal(false)
					break
				}
				old := id.Task{14: g + 1, 15: i - i%7}.Object(0)
				want := noise(uint64(g)<<8|uint64(i-i%7), int(i-i%7)*100_000%(3*mib))
				for {
					if err := a.Pull(t.Context(), info(old, want, 0, "a")); err != nil {
						t.Error(err)
						return
					}
					if got := a.get(old); got != nil {
						if !bytes.Equal(got, want) {
							t.Error("other bytes")
						}
						break
					}
				}
			}
		})
	}
	wg.Wait()
	a.FreeJob(job)
	if len(a.files()) != 0 || a.Spilled() != (spill.Stats{}) {
		t.Errorf("left %v, %+v", a.files(), a.Spilled())
	}
	if u := a.arena.Audit(); u.Sealed+u.Creating != 0 || arena.Granule*int64(u.Granules) > a.arena.Size() {
		t.Errorf("%v", u)
	}
}

// Memory and disk are full: who asks for an object that is in a file is told that there is no room, nothing else is harmed, and with room
// the same object comes.
func TestGetWhenMemoryAndDiskAreFull(t *testing.T) {
	a := onSmallDisk(t)
	put := func(i byte) { a.put(object(i), 0, noise(uint64(i), 2*mib)) }
	for i := range byte(4) {
		put(i)
	}
	a.squeeze()
	if s := a.Spilled(); s.Objects != 4 {
		t.Fatalf("%+v", s)
	}
	var held []*arena.Hold
	for i := byte(4); ; i++ {
		w, err := a.arena.Create(object(i), 2*mib, job, 0)
		if errors.Is(err, arena.ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		copy(w.Bytes(), noise(uint64(i), 2*mib))
		h, err := w.Seal(true)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, h)
	}
	pull := func(i byte) error {
		return a.Pull(t.Context(), info(object(i), noise(uint64(i), 2*mib), 0, "a"))
	}
	if err := pull(0); !errors.Is(err, ErrNoRoom) {
		t.Fatalf("got %v", err)
	}
	for i, h := range held {
		if !bytes.Equal(h.Bytes(), noise(uint64(4+i), 2*mib)) {
			t.Errorf("object %d is damaged", 4+i)
		}
	}
	held[0].Release()
	a.Free([]id.Object{object(4)})
	for i := range byte(4) { // one takes the room of the other, which is in a file still
		var got []byte
		for got == nil { // what nobody holds yet may go again to make room before it is read
			if err := pull(i); err != nil {
				t.Fatalf("object %d, with room for one: %v", i, err)
			}
			got = a.get(object(i))
		}
		if !bytes.Equal(got, noise(uint64(i), 2*mib)) {
			t.Errorf("object %d is damaged", i)
		}
	}
	for _, h := range held[1:] {
		h.Release()
	}
	if s := a.Stats(); s.Lost != 0 || a.Spilled().Objects != 4 {
		t.Errorf("%+v, %+v", s, a.Spilled())
	}
	a.FreeJob(job)
}
