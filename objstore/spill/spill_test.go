package spill

import (
	"bytes"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/internal/id"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func object(n byte, job byte, size int) Object {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{n, byte(size)})
	r.Read(b)
	return Object{Info{ID: id.Task{15: n}.Object(0), Job: id.Job{job}, Attempt: uint32(n), Size: int64(size)}, b}
}

func newDir(t *testing.T) *Dir {
	t.Helper()
	d := NewDir(filepath.Join(t.TempDir(), "spill"))
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(d.path); !os.IsNotExist(err) {
			t.Errorf("the folder is still there: %v", err)
		}
	})
	return d
}

// files are the files of a folder.
func files(t *testing.T, d *Dir) (names []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(d.path, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// onDisk is how many bytes they have.
func onDisk(t *testing.T, d *Dir) (n int64) {
	t.Helper()
	for _, f := range files(t, d) {
		s, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		n += s.Size()
	}
	return n
}

func read(d *Dir, i Info) ([]byte, error) {
	b := make([]byte, i.Size)
	return b, d.Read(i, b)
}

func TestWriteReadDrop(t *testing.T) {
	d := newDir(t)
	small := []Object{object(1, 1, 0), object(2, 1, 1), object(3, 2, 5000)}
	large := object(4, 2, 2*Chunk+77)
	for _, objs := range [][]Object{small, {large}, nil} {
		if err := d.Write(objs); err != nil {
			t.Fatal(err)
		}
	}
	if s := d.Stats(); s.Objects != 4 || s.Files != 2 || s.Bytes != 5001+large.Size || s.Disk != onDisk(t, d) || len(files(t, d)) != 2 {
		t.Fatalf("%+v, %v", s, files(t, d))
	}
	for _, o := range append(small, large) {
		if got, err := read(d, o.Info); err != nil || !bytes.Equal(got, o.Data) {
			t.Errorf("%v: %d bytes, %v", o.ID, len(got), err)
		}
		if i, ok := d.Find(o.ID); !ok || i != o.Info {
			t.Errorf("found %+v", i)
		}
	}
	if l := append(d.List(id.Object{}, 3), d.List(small[2].ID, 3)...); !slices.Equal(l, []Info{small[0].Info, small[1].Info, small[2].Info, large.Info}) {
		t.Errorf("listed %v", l)
	}
	last := make([]byte, 77)
	if sum, err := d.ReadChunk(large.Info, 2, last); err != nil || sum != crc32.Checksum(last, castagnoli) || !bytes.Equal(last, large.Data[2*Chunk:]) {
		t.Error(err)
	}
	if _, err := d.ReadChunk(large.Info, 3, last); err == nil {
		t.Error("a fourth chunk was read")
	}
	other := large.Info
	other.Attempt++
	if _, err := read(d, other); !errors.Is(err, ErrNotFound) {
		t.Errorf("another attempt: %v", err)
	}
	if d.DropAttempt(large.ID, large.Attempt+1) || !d.DropAttempt(large.ID, large.Attempt) || d.Drop(large.ID) {
		t.Error("dropped the wrong thing")
	}
	if n := d.DropJob(id.Job{1}); n != 2 || len(files(t, d)) != 1 {
		t.Errorf("dropped %d, %v", n, files(t, d))
	}
	if !d.Drop(small[2].ID) || len(files(t, d)) != 0 || d.Stats() != (Stats{}) {
		t.Errorf("left: %v, %+v", files(t, d), d.Stats())
	}
}

func TestLaterAttemptTakesThePlace(t *testing.T) {
	d := newDir(t)
	a := object(1, 1, 100)
	b := a
	b.Attempt++
	for _, o := range []Object{a, b} {
		if err := d.Write([]Object{o}); err != nil {
			t.Fatal(err)
		}
	}
	if i, _ := d.Find(a.ID); i != b.Info || len(files(t, d)) != 1 {
		t.Errorf("%+v, %v", i, files(t, d))
	}
}

func TestDamageIsOneObjectsOwn(t *testing.T) {
	a, b := object(1, 1, 3000), object(2, 1, 2000)
	spoil := map[string]func(name string, f []byte) error{
		"header": func(n string, f []byte) error { f[10]++; return os.WriteFile(n, f, 0o600) },
		"sums":   func(n string, f []byte) error { f[headerLen]++; return os.WriteFile(n, f, 0o600) },
		"data":   func(n string, f []byte) error { f[headerLen+4+2999]++; return os.WriteFile(n, f, 0o600) },
	}
	for what, do := range spoil {
		t.Run(what, func(t *testing.T) {
			d := newDir(t)
			if err := d.Write([]Object{a, b}); err != nil {
				t.Fatal(err)
			}
			name := files(t, d)[0]
			f, err := os.ReadFile(name)
			if err == nil {
				err = do(name, f)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := read(d, a.Info); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
			if got, err := read(d, b.Info); err != nil || !bytes.Equal(got, b.Data) {
				t.Errorf("its neighbour: %v", err)
			}
		})
	}
	d := newDir(t)
	if err := d.Write([]Object{a, b}); err != nil {
		t.Fatal(err)
	}
	os.Truncate(files(t, d)[0], a.bytes()+10)
	if _, err := read(d, b.Info); !errors.Is(err, ErrCorrupt) {
		t.Errorf("cut off: %v", err)
	}
	os.Remove(files(t, d)[0])
	if _, err := read(d, a.Info); !errors.Is(err, ErrCorrupt) {
		t.Errorf("gone: %v", err)
	}
}

func TestDiskFull(t *testing.T) {
	at := t.TempDir()
	if err := mountSmall(at, 1<<20); err != nil {
		t.Skip("needs to mount a small file system:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	})
	d := NewDir(filepath.Join(at, "spill"))
	defer d.Close()
	a, b := object(1, 1, 600<<10), object(2, 1, 600<<10)
	if err := d.Write([]Object{a}); err != nil {
		t.Fatal(err)
	}
	if err := d.Write([]Object{b}); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "kept free for others") {
		t.Fatalf("got %v", err)
	}
	if len(files(t, d)) != 1 || d.Stats().Objects != 1 {
		t.Errorf("left %v", files(t, d))
	}
	if got, err := read(d, a.Info); err != nil || !bytes.Equal(got, a.Data) {
		t.Error(err)
	}
	d.Drop(a.ID)
	if err := d.Write([]Object{b}); err != nil {
		t.Error(err)
	}
}

// TestCompact has files of which little lives, one of them damaged, and readers meanwhile.
func TestCompact(t *testing.T) {
	d := newDir(t)
	d.above = 10 << 10
	live := map[id.Object]Object{}
	const each = 20
	for f := range byte(8) {
		var objs []Object
		for i := range byte(each) {
			objs = append(objs, object(f*each+i, 1, 1000+int(i)))
		}
		if err := d.Write(objs); err != nil {
			t.Fatal(err)
		}
		for i, o := range objs {
			if i != int(f) && f != 7 { // the last file stays as it is
				d.Drop(o.ID)
			} else {
				live[o.ID] = o
			}
		}
	}
	before := onDisk(t, d)
	spoilt := object(3*each+3, 1, 1003)
	damage(t, d, spoilt)
	delete(live, spoilt.ID)
	if !d.Sparse() {
		t.Fatalf("%+v is dense", d.Stats())
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				for _, o := range live {
					if got, err := read(d, o.Info); err != nil || !bytes.Equal(got, o.Data) {
						t.Errorf("%v while it moves: %v", o.ID, err)
						return
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	n, err := d.Compact()
	close(stop)
	readers.Wait()
	if err != nil || n != 7 || d.Sparse() {
		t.Errorf("%d files, %v, %+v", n, err, d.Stats())
	}
	s := d.Stats()
	if s.Objects != len(live)+1 || s.Files != 3 || len(files(t, d)) != 3 || s.Disk != onDisk(t, d) || s.Disk > before/2 {
		t.Errorf("%+v of %d bytes in %v", s, before, files(t, d))
	}
	for _, o := range live {
		if got, err := read(d, o.Info); err != nil || !bytes.Equal(got, o.Data) {
			t.Errorf("%v: %v", o.ID, err)
		}
	}
	if _, err := read(d, spoilt.Info); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the damaged one: %v", err)
	}
	d.DropJob(id.Job{1})
	if d.Stats() != (Stats{}) || len(files(t, d)) != 0 || d.dead != 0 {
		t.Errorf("left %v, %+v", files(t, d), d.Stats())
	}
}

// damage changes the last byte of an object.
func damage(t *testing.T, d *Dir, o Object) {
	t.Helper()
	r := d.recs[o.ID]
	f, err := os.OpenFile(filepath.Join(d.path, r.f.name), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{^o.Data[o.Size-1]}, r.at+o.bytes()-1); err != nil {
		t.Fatal(err)
	}
}

func TestClosed(t *testing.T) {
	d := newDir(t)
	d.Close()
	if err := d.Write([]Object{object(1, 1, 1)}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func FuzzParseHead(f *testing.F) {
	for _, size := range []int{0, 1, 3 * Chunk} {
		o := object(1, 1, size)
		f.Add(appendHead(nil, o.Info, sumsOf(o.Data)), o.Size)
	}
	f.Add([]byte{}, int64(1)<<40)
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		want := object(1, 1, 0).Info
		want.Size = size & (1<<40 - 1)
		sums, err := parseHead(b, want)
		if err == nil && !bytes.Equal(appendHead(nil, want, sums), b) {
			t.Errorf("%x was taken for %+v", b, want)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
	})
}

// FuzzFile changes a file anywhere, and cuts it off: what is read is what was written, or ErrCorrupt.
func FuzzFile(f *testing.F) {
	f.Add(uint32(0), []byte{}, uint32(1<<20))
	f.Add(uint32(10), []byte{1}, uint32(1<<20))
	f.Add(uint32(70), []byte("other bytes"), uint32(2000))
	d := NewDir(filepath.Join(f.TempDir(), "spill"))
	defer d.Close()
	objs := []Object{object(1, 1, 700), object(2, 1, 0), object(3, 1, 5000)}
	if err := d.Write(objs); err != nil {
		f.Fatal(err)
	}
	name := filepath.Join(d.path, "1.spill")
	good, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, at uint32, b []byte, cut uint32) {
		bad := slices.Clone(good)
		copy(bad[int(at)%len(bad):], b)
		if err := os.WriteFile(name, bad[:min(int(cut), len(bad))], 0o600); err != nil {
			t.Fatal(err)
		}
		for _, o := range objs {
			if got, err := read(d, o.Info); err == nil && !bytes.Equal(got, o.Data) {
				t.Fatalf("%v: other bytes", o.ID)
			} else if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			if o.Size > 0 {
				got := make([]byte, o.Size)
				if _, err := d.ReadChunk(o.Info, 0, got); err == nil && !bytes.Equal(got, o.Data) {
					t.Fatalf("%v: another chunk", o.ID)
				}
			}
		}
	})
}
