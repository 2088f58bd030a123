package objstore

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/p2p/directory"
)

func (c *cluster) count() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.records {
		n += len(m)
	}
	return n
}

func TestPublishLocateFree(t *testing.T) {
	c := newCluster(t)
	a, b, d := c.add("a"), c.add("b"), c.add("d")
	o, data := object(1), noise(1, 1000)
	a.put(o, 2, data)
	a.Publish(owner, o, object(7))
	until(t, "one record", func() bool { return c.count() == 1 })
	got, err := d.Locate(t.Context(), o, owner)
	if err != nil || !slices.Equal(got.Holders, []id.Node{"a"}) || got.Size != 1000 || got.Attempt != 2 || got.State != wire.ObjectReady || !got.Stored {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := d.Locate(t.Context(), o, id.Addr{Node: "owner", Proc: 8}); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	got.Job, got.Hash = job, info(o, data, 2).Hash
	if err := b.Pull(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	until(t, "two records", func() bool { return c.count() == 2 })
	got, err = d.Locate(t.Context(), o, owner)
	slices.Sort(got.Holders)
	if err != nil || !slices.Equal(got.Holders, []id.Node{"a", "b"}) || got.Hash == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if s := b.Stats(); s.Published != 1 {
		t.Fatalf("%+v", s)
	}
	b.Free([]id.Object{o})
	a.FreeJob(job)
	until(t, "no record", func() bool { return c.count() == 0 })
	if a.get(o) != nil || b.get(o) != nil {
		t.Fatal("a freed object is there")
	}
	if _, err := d.Locate(t.Context(), o, owner); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}

func TestWritesAreTriedAgain(t *testing.T) {
	c := newCluster(t)
	a := c.add("a")
	a.put(object(1), 0, nil)
	c.refuse = 1
	a.Publish(owner, object(1))
	until(t, "the record", func() bool { return c.count() == 1 })
	a.Publish(owner, object(1)) // nothing new
	c.mu.Lock()
	c.refuse = 1
	c.mu.Unlock()
	a.Unpublish(object(1), object(2))
	until(t, "it is gone", func() bool { return c.count() == 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writes != 4 {
		t.Fatalf("%d writes", c.writes)
	}
}

func TestManyRecordsTakeFewWrites(t *testing.T) {
	c := newCluster(t)
	a := c.add("a")
	var ids []id.Object
	for i := range uint32(3000) {
		o := id.Task{1}.Object(i)
		ids = append(ids, o)
		a.put(o, 0, nil)
	}
	a.Publish(owner, ids...)
	until(t, "all records", func() bool { return c.count() == len(ids) })
	a.Close()
	if n := c.count(); n != 0 {
		t.Fatalf("%d records outlive the store", n)
	}
	if c.writes > 2*len(ids)/3 {
		t.Fatalf("%d writes", c.writes)
	}
}

func TestRefreshDropsWhatIsGone(t *testing.T) {
	c := newCluster(t)
	a := c.add("a")
	for i := range byte(3) {
		a.put(object(i), 0, nil)
	}
	a.Publish(owner, object(0), object(1), object(2))
	until(t, "records", func() bool { return c.count() == 3 })
	a.arena.Delete(object(1)) // evicted, say
	a.records.refresh()
	a.records.wake()
	until(t, "two records", func() bool { return c.count() == 2 })
}

// records of a directory as somebody hostile would write them
type fixed []directory.Record

func (f fixed) Find(context.Context, directory.Key, [20]byte) ([]directory.Record, error) {
	return f, nil
}
func (f fixed) Put(context.Context, []directory.Record) error    { return nil }
func (f fixed) Delete(context.Context, []directory.Record) error { return nil }

func TestLocateTrustsOnlyTheWriterOfItself(t *testing.T) {
	o := object(1)
	rec := func(writer, node id.Node, attempt uint32) directory.Record {
		return directory.Record{Sub: o, Writer: writer, Value: wire.Marshal(&recordValue{Node: node, Size: uint64(attempt), Attempt: attempt})}
	}
	other := rec("x", "x", 9)
	other.Sub[0] = 9
	s := NewStore(Config{Directory: fixed{rec("a", "a", 1), rec("evil", "b", 7), rec("c", "c", 2), rec("d", "d", 2), rec("e", "e", 1), other,
		{Sub: o, Writer: "f", Value: []byte{0x85}}}})
	defer s.Close()
	got, err := s.Locate(t.Context(), o, owner)
	if err != nil || !slices.Equal(got.Holders, []id.Node{"c", "d"}) || got.Size != 2 || got.Attempt != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestPrivateNode(t *testing.T) {
	c := newCluster(t)
	a := c.add("a")
	s := NewStore(Config{Arena: a.arena, Node: "p"})
	defer s.Close()
	a.put(object(1), 0, nil)
	s.Publish(owner, object(1))
	s.Free([]id.Object{object(1)})
	if _, err := s.Locate(t.Context(), object(1), owner); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if err := s.Pull(t.Context(), info(object(2), []byte("x"), 0, "a")); !errors.Is(err, ErrNoHolder) {
		t.Fatal(err)
	}
}

func FuzzLocate(f *testing.F) {
	f.Add(wire.Marshal(&recordValue{Node: "a", Size: 1, Hash: 2, Attempt: 3}))
	f.Add([]byte{})
	f.Add([]byte{0x84, 0x61, 'a', 1, 2, 3})
	f.Fuzz(func(t *testing.T, value []byte) {
		s := NewStore(Config{Directory: fixed{{Sub: object(1), Writer: "a", Value: value, Expiry: time.Time{}}}})
		defer s.Close()
		if got, err := s.Locate(t.Context(), object(1), owner); err == nil && !slices.Equal(got.Holders, []id.Node{"a"}) {
			t.Fatalf("%+v", got)
		}
	})
}
