package objstore

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/spill"
	"github.com/kadrehq/kadre/p2p/directory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	job   = id.Job{1}
	owner = id.Addr{Node: "owner", Proc: 9}
)

func object(n byte) id.Object { return id.Task{15: n}.Object(0) }

// cluster is some nodes in one process: a network of calls, and one directory.
type cluster struct {
	t     testing.TB
	nodes map[id.Node]*node
	hook  func(from id.Node, req chunkRequest, data []byte) error // may spoil data, or fail
	after func()                                                  // once a node has closed

	mu      sync.Mutex
	records map[id.Object]map[id.Node]directory.Record
	refuse  int // writes that fail
	writes  int
}

type node struct {
	*Store
	c     *cluster
	id    id.Node
	arena *arena.Arena
	dir   string // of spilled objects

	mu      sync.Mutex
	copied  []wire.Copied
	dropped []wire.Copied
	spare   bool // the owner says that other copies do
	asked   int  // how often it was
	events  []Event
}

func newCluster(t testing.TB) *cluster {
	return &cluster{t: t, nodes: map[id.Node]*node{}, records: map[id.Object]map[id.Node]directory.Record{}}
}

func (c *cluster) add(name id.Node) *node {
	c.t.Helper()
	a, err := arena.Create(arena.Config{Size: 64 << 20, Dir: c.t.TempDir()})
	if err != nil {
		c.t.Fatal(err)
	}
	n := &node{c: c, id: name, arena: a, dir: filepath.Join(c.t.TempDir(), "spill")}
	n.Store = NewStore(Config{Arena: a, Node: name, Epoch: 1, Net: n, Directory: n, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Copied: func(to id.Addr, m wire.Copied) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if to == owner {
				n.copied = append(n.copied, m)
			}
		},
		Spill: spill.NewDir(n.dir),
		Drop: func(_ context.Context, to id.Addr, m wire.Copied) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.asked++
			if !n.spare || to != owner || m.Node != name {
				return ErrLastCopy
			}
			return nil
		},
		Dropped: func(to id.Addr, m wire.Copied) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if to == owner {
				n.dropped = append(n.dropped, m)
			}
		},
		Event: func(e Event) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.events = append(n.events, e)
		},
	})
	c.nodes[name] = n
	c.t.Cleanup(func() {
		if err := n.Close(); err != nil {
			c.t.Error(err)
		}
		if c.after != nil {
			c.after()
		}
		a.DeleteJob(job)
		if u := a.Audit(); !u.Empty() || u.Check() != nil {
			c.t.Errorf("node %s: left in the arena: %v\n%v", name, u, u.Check())
		}
		a.Close()
	})
	return n
}

// Fetch makes a node a Net: it calls the other store.
func (n *node) Fetch(ctx context.Context, from id.Node, req []byte, land func([]byte, int) ([]byte, error)) ([]byte, int, error) {
	o := n.c.nodes[from]
	if o == nil {
		return nil, 0, errors.New("no such node")
	}
	meta, data, release, err := o.Serve(n.id, req)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	dst, err := land(meta, len(data))
	if err != nil {
		return nil, 0, err
	}
	copy(dst, data)
	if n.c.hook != nil {
		r, _ := parseChunkRequest(req)
		if err := n.c.hook(from, r, dst); err != nil {
			return nil, 0, err
		}
	}
	if ctx.Err() != nil {
		return nil, 0, context.Cause(ctx)
	}
	return meta, len(data), nil
}

var errRefused = errors.New("refused")

func (c *cluster) write(f func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	if c.refuse > 0 {
		c.refuse--
		return errRefused
	}
	f()
	return nil
}

// Put makes a node a Directory, with Find and Delete.
func (n *node) Put(_ context.Context, rs []directory.Record) error {
	return n.c.write(func() {
		for _, r := range rs {
			if n.c.records[r.Sub] == nil {
				n.c.records[r.Sub] = map[id.Node]directory.Record{}
			}
			r.Writer = n.id
			n.c.records[r.Sub][n.id] = r
		}
	})
}

func (n *node) Delete(_ context.Context, rs []directory.Record) error {
	return n.c.write(func() {
		for _, r := range rs {
			delete(n.c.records[r.Sub], n.id)
		}
	})
}

func (n *node) Find(_ context.Context, key directory.Key, sub [20]byte) (rs []directory.Record, err error) {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	for _, r := range n.c.records[sub] {
		if r.Key == key {
			rs = append(rs, r)
		}
	}
	return rs, nil
}

// put seals an object on a node.
func (n *node) put(o id.Object, attempt uint32, data []byte) {
	n.c.t.Helper()
	w, err := n.arena.Create(o, int64(len(data)), job, attempt)
	if err != nil {
		n.c.t.Fatal(err)
	}
	copy(w.Bytes(), data)
	if _, err := w.Seal(false); err != nil {
		n.c.t.Fatal(err)
	}
}

// get reads an object of a node's arena; nil when it is not there.
func (n *node) get(o id.Object) []byte {
	h, ok := n.arena.Get(o)
	if !ok {
		return nil
	}
	defer h.Release()
	return append([]byte{}, h.Bytes()...)
}

func (n *node) copies() []wire.Copied {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]wire.Copied(nil), n.copied...)
}

// noise is n bytes that depend on the seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}

// until waits for what is to become true.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("never: ", what)
		}
	}
}
