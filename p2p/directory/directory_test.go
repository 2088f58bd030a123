package directory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mesh is a network in memory. Which nodes are closest is the order of the hashes of key and name.
type mesh struct {
	mu             sync.Mutex
	nodes          map[id.Node]*Directory
	cut            map[id.Node]bool // they hear nothing
	calls, lookups atomic.Int64
}

type meshNet struct {
	m    *mesh
	self id.Node
}

func (n meshNet) Self() id.Node { return n.self }

func (n meshNet) Closest(_ context.Context, key Key) ([]id.Node, error) {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	var l []id.Node
	for p := range n.m.nodes {
		l = append(l, p)
	}
	n.m.lookups.Add(1)
	slices.SortFunc(l, func(a, b id.Node) int { return bytes.Compare(rank(key, a), rank(key, b)) })
	return l[:min(len(l), Copies)], nil
}

func (n meshNet) Closer(key Key, a, b id.Node) bool {
	return bytes.Compare(rank(key, a), rank(key, b)) < 0
}

func rank(key Key, n id.Node) []byte { s := sha256.Sum256(append(key[:], n...)); return s[:] }

func (n meshNet) Call(ctx context.Context, to id.Node, req []byte) ([]byte, error) {
	n.m.calls.Add(1)
	n.m.mu.Lock()
	d := n.m.nodes[to]
	cut := n.m.cut[to]
	n.m.mu.Unlock()
	if d == nil || cut {
		return nil, errors.New("mesh: nobody there")
	}
	return d.Serve(n.self, req), nil
}

func (m *mesh) add(t *testing.T, name id.Node) *Directory {
	d := New(meshNet{m, name})
	t.Cleanup(d.Close)
	m.mu.Lock()
	m.nodes[name] = d
	m.mu.Unlock()
	m.moved(name)
	return d
}

func (m *mesh) remove(name id.Node) {
	m.mu.Lock()
	delete(m.nodes, name)
	m.mu.Unlock()
	m.moved(name)
}

func (m *mesh) moved(name id.Node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.nodes {
		d.Moved(name)
	}
}

func rec(key byte, sub uint32, value string) Record {
	r := Record{Key: Key{key}, Value: []byte(value), Epoch: 1}
	r.Sub[0], r.Sub[1], r.Sub[2] = byte(sub>>16), byte(sub>>8), byte(sub)
	return r
}

func TestPutGetDelete(t *testing.T) {
	m := &mesh{nodes: map[id.Node]*Directory{}}
	var ds []*Directory
	for i := range 6 {
		ds = append(ds, m.add(t, id.Node(fmt.Sprintf("n%d", i))))
	}
	ctx := context.Background()
	if err := ds[0].Put(ctx, []Record{rec(1, 1, "a"), rec(1, 2, "b"), rec(2, 1, "c")}); err != nil {
		t.Fatal(err)
	}
	if err := ds[1].Put(ctx, []Record{rec(1, 1, "a too")}); err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		if rs, err := d.Get(ctx, Key{1}); err != nil || len(rs) != 3 {
			t.Fatalf("%v, %v", rs, err)
		}
		if rs, err := d.Find(ctx, Key{1}, rec(1, 2, "").Sub); err != nil || len(rs) != 1 || string(rs[0].Value) != "b" || rs[0].Writer != "n0" {
			t.Fatalf("%v, %v", rs, err)
		}
		if rs, err := d.Get(ctx, Key{9}); err != nil || len(rs) != 0 {
			t.Fatalf("a miss: %v, %v", rs, err)
		}
	}
	if s := ds[0].Stats(); s.Hits != 2 || s.Misses != 1 || s.Own != 3 {
		t.Errorf("%+v", s)
	}
	// The later write counts; nobody deletes another's.
	if err := ds[0].Put(ctx, []Record{rec(1, 1, "newer")}); err != nil {
		t.Fatal(err)
	}
	if err := ds[2].Delete(ctx, []Record{rec(1, 1, "")}); err != nil {
		t.Fatal(err)
	}
	if err := ds[1].Delete(ctx, []Record{rec(1, 1, "")}); err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		if rs, err := d.Find(ctx, Key{1}, rec(1, 1, "").Sub); err != nil || len(rs) != 1 || string(rs[0].Value) != "newer" {
			t.Fatalf("%v, %v", rs, err)
		}
	}
}

func TestPutsAreBatched(t *testing.T) {
	m := &mesh{nodes: map[id.Node]*Directory{}}
	d := m.add(t, "n0")
	for i := range 10 {
		m.add(t, id.Node(fmt.Sprintf("h%d", i)))
	}
	const n = 2000
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := d.Put(context.Background(), []Record{rec(byte(i%8), uint32(i), "v")}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if c := m.calls.Load(); c > n/10 {
		t.Errorf("%d requests for %d records", c, n)
	}
	all := 0
	for k := range byte(8) {
		rs, err := d.Get(context.Background(), Key{k})
		if err != nil {
			t.Fatal(err)
		}
		all += len(rs)
	}
	if all != n {
		t.Errorf("%d of %d records", all, n)
	}
}

func TestPages(t *testing.T) {
	m := &mesh{nodes: map[id.Node]*Directory{}}
	d := m.add(t, "n0")
	const n = 3000
	var rs []Record
	for i := range n {
		rs = append(rs, rec(1, uint32(i), string(make([]byte, MaxValue))))
	}
	if err := d.Put(context.Background(), rs); err != nil {
		t.Fatal(err)
	}
	got, err := d.Get(context.Background(), Key{1})
	if err != nil || len(got) != n {
		t.Fatalf("%d of %d records, %v", len(got), n, err)
	}
}

func TestRecordsMove(t *testing.T) {
	m := &mesh{nodes: map[id.Node]*Directory{}}
	w := m.add(t, "writer")
	for i := range 3 {
		m.add(t, id.Node(fmt.Sprintf("old%d", i)))
	}
	ctx := context.Background()
	if err := w.Put(ctx, []Record{rec(1, 1, "here")}); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		m.add(t, id.Node(fmt.Sprintf("new%d", i)))
	}
	for i := range 3 {
		m.remove(id.Node(fmt.Sprintf("old%d", i)))
	}
	for end := time.Now().Add(5 * time.Second); ; {
		rs, err := w.Get(ctx, Key{1})
		held := 0
		m.mu.Lock()
		for _, d := range m.nodes {
			held += int(d.Stats().Held)
		}
		m.mu.Unlock()
		if err == nil && len(rs) == 1 && held >= Copies {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d copies, %v, %v", held, rs, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// held counts the live records that a node of the mesh has.
func (m *mesh) held(n id.Node) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes[n].Stats().Held
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func (m *mesh) isolate(n id.Node, cut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut = map[id.Node]bool{n: cut}
}

func TestDeleteReachesWhoMissedIt(t *testing.T) {
	m := &mesh{nodes: map[id.Node]*Directory{}}
	w := m.add(t, "writer")
	for i := range 3 {
		m.add(t, id.Node(fmt.Sprintf("h%d", i)))
	}
	ctx := context.Background()
	for i := range 20 { // so that h0 holds some
		if err := w.Put(ctx, []Record{rec(byte(i), 1, "here")}); err != nil {
			t.Fatal(err)
		}
	}
	had := m.held("h0")
	if had == 0 || had == 20 {
		t.Fatalf("h0 holds %d of 20", had)
	}
	all := func() (rs []Record) {
		for i := range 20 {
			rs = append(rs, rec(byte(i), 1, ""))
		}
		return rs
	}
	m.isolate("h0", true)
	if err := w.Delete(ctx, all()); err != nil {
		t.Fatal(err)
	}
	if owed := w.Stats().Owed; owed != had || m.held("h0") != had {
		t.Errorf("%d deletes are owed, %d were missed; h0 holds %d", owed, had, m.held("h0"))
	}
	m.isolate("h0", false)
	await(t, "h0 keeps records that were deleted", func() bool { return m.held("h0") == 0 && w.Stats().Owed == 0 })

	// The same when the node counts as gone while the deletes are made, and comes back with what it had.
	for i := range 20 {
		if err := w.Put(ctx, []Record{rec(byte(i), 2, "here")}); err != nil {
			t.Fatal(err)
		}
	}
	m.mu.Lock()
	h0 := m.nodes["h0"]
	m.mu.Unlock()
	m.remove("h0")
	rs := all()
	for i := range rs {
		rs[i] = rec(byte(i), 2, "")
	}
	if err := w.Delete(ctx, rs); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	m.nodes["h0"] = h0
	m.mu.Unlock()
	m.moved("h0")
	await(t, "h0 came back with records that were deleted", func() bool { return m.held("h0") == 0 && w.Stats().Owed == 0 })
}

func TestMovesForgetOnlyWhatTheyChange(t *testing.T) {
	m := &mesh{nodes: map[id.Node]*Directory{}}
	d := m.add(t, "n0")
	for i := range 40 {
		m.add(t, id.Node(fmt.Sprintf("h%d", i)))
	}
	read := func() int64 {
		before := m.lookups.Load()
		for k := range byte(100) {
			if _, err := d.Get(context.Background(), Key{k}); err != nil {
				t.Fatal(err)
			}
		}
		return m.lookups.Load() - before
	}
	if n := read(); n != 100 {
		t.Errorf("%d lookups of 100 keys", n)
	}
	m.remove("h7") // holds 3 in 41 of the keys
	if n := read(); n == 0 || n > 40 {
		t.Errorf("%d lookups after a node of 41 went", n)
	}
	m.add(t, "new")
	if n := read(); n == 0 || n > 40 {
		t.Errorf("%d lookups after a node came", n)
	}
	want, err := meshNet{m, "n0"}.Closest(context.Background(), Key{3})
	if got, _, e := d.holders(context.Background(), Key{3}, false); err != nil || e != nil || !slices.Equal(got, want) {
		t.Errorf("remembered %v, closest %v", got, want)
	}
}

func TestLimitsAndClose(t *testing.T) {
	m := &mesh{nodes: map[id.Node]*Directory{}}
	d := m.add(t, "n0")
	ctx := context.Background()
	if err := d.Put(ctx, []Record{rec(1, 1, string(make([]byte, MaxValue+1)))}); !errors.Is(err, ErrTooBig) {
		t.Errorf("%v", err)
	}
	if err := d.Put(ctx, make([]Record, 0)); err != nil {
		t.Errorf("%v", err)
	}
	d.Close()
	if err := d.Put(ctx, []Record{rec(1, 1, "")}); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if _, err := d.Get(ctx, Key{1}); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestStore(t *testing.T) {
	s, now := NewStore(), time.Now()
	put := func(from id.Node, epoch, seq uint64, value string, del bool) {
		t.Helper()
		p := newPut()
		p.add(place{key: Key{1}}, item{value: []byte(value), epoch: epoch, seq: seq, expiry: now.Add(time.Minute), delete: del}, now)
		if err := parsePutAnswer(s.Serve(from, p.bytes(), now)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(at time.Time) (l []string) {
		page, _, err := parsePage(s.Serve("r", ask{key: Key{1}, all: true}.append(nil), at), Key{1}, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			if !r.dead {
				l = append(l, string(r.rec.Writer)+string(r.rec.Value))
			}
		}
		return l
	}
	put("w", 2, 5, "five", false)
	put("w", 2, 4, "four", false)  // late
	put("w", 1, 9, "stale", false) // of an earlier start
	put("x", 1, 1, "other", false)
	if l := read(now); !slices.Equal(l, []string{"wfive", "xother"}) {
		t.Fatalf("%q", l)
	}
	put("w", 2, 6, "", true)
	put("w", 2, 5, "five", false) // written again by a slower path
	if l := read(now); !slices.Equal(l, []string{"xother"}) {
		t.Fatalf("%q", l)
	}
	if n, _ := s.Size(); n != 1 {
		t.Errorf("%d held", n)
	}
	if l := read(now.Add(2 * time.Minute)); len(l) != 0 {
		t.Errorf("expired: %q", l)
	}
	s.Sweep(now.Add(2 * time.Minute))
	if n, b := s.Size(); n != 0 || b != 0 || len(s.keys) != 0 {
		t.Errorf("%d records, %d bytes, %d keys after the sweep", n, b, len(s.keys))
	}
}

func FuzzServe(f *testing.F) {
	now := time.Now()
	p := newPut()
	p.add(place{key: Key{1}}, item{value: []byte("v"), epoch: 1, seq: 1, expiry: now.Add(time.Minute)}, now)
	f.Add(p.bytes())
	f.Add(ask{key: Key{1}, all: true}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewStore()
		s.Serve("w", b, now)
		if n, size := s.Size(); n < 0 || size > len(b)*entryBytes {
			t.Errorf("%d records, %d bytes of %d", n, size, len(b))
		}
	})
}

// FuzzPutAnswer gives a writer any bytes for a holder's answer: one answer alone is a yes, and a refusal takes little room.
func FuzzPutAnswer(f *testing.F) {
	f.Add([]byte{tagOK})
	f.Add(append([]byte{tagFailed}, strings.Repeat("\n", 1000)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := parsePutAnswer(b)
		if yes := len(b) == 1 && b[0] == tagOK; yes != (err == nil) {
			t.Errorf("%q: %v", b, err)
		}
		if err != nil && (len(err.Error()) > 64+6*maxRefusal || strings.ContainsRune(err.Error(), '\n')) { // a byte is \ufffd at most
			t.Errorf("%d bytes of error", len(err.Error()))
		}
	})
}

func FuzzPage(f *testing.F) {
	now := time.Now()
	f.Add(appendStored([]byte{tagPage, 0}, stored{Record{Writer: "w", Value: []byte("v"), Expiry: now}, 1, false}, now))
	f.Fuzz(func(t *testing.T, b []byte) {
		if page, _, err := parsePage(b, Key{1}, now); err == nil && len(page)*storedFixed > len(b) {
			t.Error("records out of nothing")
		}
	})
}

func TestOneObjectAsksOneHolder(t *testing.T) {
	m := &mesh{nodes: map[id.Node]*Directory{}}
	var all []*Directory
	for i := range 8 {
		all = append(all, m.add(t, id.Node(fmt.Sprintf("n%d", i))))
	}
	ctx := context.Background()
	r := rec(1, 1, "here")
	if err := all[0].Put(ctx, []Record{r}); err != nil {
		t.Fatal(err)
	}
	holders, _ := meshNet{m, "n0"}.Closest(ctx, r.Key)
	var reader *Directory // no holder itself
	for _, d := range all {
		if !slices.Contains(holders, d.net.Self()) {
			reader = d
		}
	}
	find := func(live int) (requests uint64) {
		t.Helper()
		before := reader.Stats().Requests
		rs, err := reader.Find(ctx, r.Key, r.Sub)
		if err != nil || len(rs) != live {
			t.Errorf("found %v, %v", rs, err)
		}
		return reader.Stats().Requests - before
	}
	least := uint64(Copies)
	for range 100 { // on a busy machine one is slow now and then
		least = min(least, find(1))
	}
	if least != 1 {
		t.Errorf("%d requests for one object", least)
	}
	m.isolate(holders[0], true) // two of three have it
	for range 2 * Copies {
		find(1)
	}
	m.isolate(holders[0], false)
	if err := all[0].Delete(ctx, []Record{r}); err != nil {
		t.Fatal(err)
	}
	if n := find(0); n < Copies {
		t.Errorf("%d of %d holders say that there is nothing", n, Copies)
	}
}
