package directory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Limits and times.
const (
	Copies       = 3
	MaxValue     = 1 << 10
	MaxTTL       = 24 * time.Hour
	DefaultTTL   = time.Hour
	flushSoon    = 3 * time.Millisecond  // what puts gather for
	flushEvery   = 12 * time.Millisecond // and so long where flush follows flush
	cacheFor     = 30 * time.Second      // how long the holders of a key are remembered
	staleMiss    = time.Second           // a miss asks again when the holders were remembered for longer
	maxCached    = 1 << 14               // keys whose holders are remembered
	callFor      = time.Second           // one request to one holder
	mergeFor     = 20 * time.Millisecond
	slowAfter    = 5 * time.Millisecond // a holder that was asked alone has not answered: all are asked
	reviewEvery  = 30 * time.Second     // the writer looks again who holds its keys, spread over reviewOver
	reviewOver   = 20 * time.Second
	reviewSoon   = time.Second           // after nodes came or went: for those keys that this may concern
	reviewAtOnce = 16                    // keys: what nodes lack of them goes out together
	reviewPause  = 10 * time.Millisecond // about, between two keys
	maxOwn       = 1 << 20               // records one node has written and not deleted
	maxPending   = 1 << 16               // records that wait to be flushed
	maxInFlight  = 16                    // flushes at once
)

// Coarse is the shard of records that a node has a few of, for itself: where it is, which executables it has. They
// are in none of the counts of Stats, which are about objects.
const Coarse = 1<<16 - 1

// Key is where records live: the nodes closest to it hold them.
type Key [32]byte

// Record is one record.
type Record struct {
	Key    Key
	Shard  uint16
	Sub    [20]byte  // which object
	Value  []byte    // at most MaxValue bytes
	Epoch  uint64    // the writer's
	Expiry time.Time // zero: DefaultTTL from now; at most MaxTTL
	Writer id.Node   // set by the holders
}

// Net is the network as the directory needs it.
type Net interface {
	Self() id.Node
	// Closest looks up the Copies nodes closest to a key, the nearest first, this node among them if it is.
	Closest(ctx context.Context, key Key) ([]id.Node, error)
	// Closer says whether node a is closer to a key than node b.
	Closer(key Key, a, b id.Node) bool
	// Call sends a request to another node's Directory.Serve.
	Call(ctx context.Context, to id.Node, req []byte) ([]byte, error)
}

// Stats counts what a directory has done since it was opened.
type Stats struct {
	Hits     uint64 `json:"hits"`   // gets that found something
	Misses   uint64 `json:"misses"` // gets that did not
	Held     uint64 `json:"held"`   // records held now, tombstones not among them
	Own      uint64 `json:"own"`    // records written here and still wanted
	Owed     uint64 `json:"owed"`   // deletes that nodes have not confirmed yet
	Requests uint64 `json:"requests"`
	Writes   uint64 `json:"writes"`  // of the requests
	Flushes  uint64 `json:"flushes"` // batches that were written
	Keys     uint64 `json:"keys"`    // of all flushes: how many keys each had to do with
	Served   uint64 `json:"served"`
	Lookups  uint64 `json:"lookups"`
	Bytes    uint64 `json:"bytes"` // held
}

// Directory is one node's part of the directory, and its way to the rest.
type Directory struct {
	net    Net
	store  *Store
	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup
	slots  chan struct{} // bounds flushes
	review chan struct{} // nodes came or went
	owing  chan struct{} // a delete was not confirmed
	seq    atomic.Uint64
	turn   atomic.Uint64 // which of the holders is asked first; another one after it was slow or failed

	hits, misses, requests, served, lookups, writes, flushes, keys atomic.Uint64

	mu      sync.Mutex
	closed  bool
	pending map[place]item // to be written, the last write of each place
	waiting *batch         // of pending
	flushed time.Time      // when the last flush began
	own     map[Key]*owned
	owns    int
	rough   int // of owns, those in shard Coarse
	cache   map[Key]cached
	moves   uint64 // what was looked up before the last move is not remembered
	owed    map[id.Node]map[place]debt
	owes    int // in owed
}

// place is where one writer's record goes.
type place struct {
	key   Key
	shard uint16
	sub   [20]byte
}

// item is one write.
type item struct {
	value  []byte
	epoch  uint64
	seq    uint64
	expiry time.Time
	delete bool
	copies time.Time // of a delete: how long a copy that misses it lasts
}

// owned is what this node wrote under a key, and where it is known to be.
type owned struct {
	items   map[place]item
	holders map[id.Node]bool
	former  map[id.Node]bool // no holders any more, or not to be reached: they may still have copies
	longest time.Time        // no copy lasts longer
	moved   bool             // nodes came or went that may be or have been holders
}

type cached struct {
	nodes []id.Node
	at    time.Time
}

// New opens the directory of a node. Close ends it.
func New(n Net) *Directory {
	d := &Directory{
		net:     n,
		store:   NewStore(),
		slots:   make(chan struct{}, maxInFlight),
		review:  make(chan struct{}, 1),
		owing:   make(chan struct{}, 1),
		owed:    map[id.Node]map[place]debt{},
		pending: map[place]item{},
		own:     map[Key]*owned{},
		cache:   map[Key]cached{},
	}
	d.ctx, d.stop = context.WithCancel(context.Background())
	d.turn.Store(rand.Uint64())
	d.seq.Store(uint64(time.Now().UnixNano())) // later than what an earlier start wrote under the same epoch
	d.wg.Go(d.reviews)
	d.wg.Go(d.repays)
	return d
}

// Close stops what runs and waits for it. Waiting puts fail.
func (d *Directory) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	d.wg.Wait()
}

// Stats counts.
func (d *Directory) Stats() Stats {
	held, size := d.store.Size()
	d.mu.Lock()
	own, owed := d.owns-d.rough, d.owes
	d.mu.Unlock()
	return Stats{
		Hits: d.hits.Load(), Misses: d.misses.Load(), Held: uint64(held), Bytes: uint64(size), Own: uint64(own), Owed: uint64(owed),
		Requests: d.requests.Load(), Served: d.served.Load(), Lookups: d.lookups.Load(),
		Writes: d.writes.Load(), Flushes: d.flushes.Load(), Keys: d.keys.Load(),
	}
}

// Moved tells that a node came or went: what it may change of the holders that are remembered is forgotten, it is
// taken to hold nothing of this one's, and soon this node's records are written to those that hold them now.
func (d *Directory) Moved(n id.Node) {
	d.mu.Lock()
	for key, c := range d.cache {
		if len(c.nodes) < Copies || slices.Contains(c.nodes, n) || d.net.Closer(key, n, c.nodes[len(c.nodes)-1]) {
			delete(d.cache, key)
		}
	}
	d.moves++
	for key, o := range d.own {
		o.moved = o.moved || o.holders[n] || len(o.holders) < Copies || d.nearLocked(key, o, n)
		o.leaveLocked(n)
	}
	d.mu.Unlock()
	for _, c := range []chan struct{}{d.review, d.owing} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// nearLocked says whether a node is closer to a key than one of its holders.
func (d *Directory) nearLocked(key Key, o *owned, n id.Node) bool {
	for m := range o.holders {
		if d.net.Closer(key, n, m) {
			return true
		}
	}
	return false
}

// leaveLocked notes that a node is no holder any more, though it may still have copies.
func (o *owned) leaveLocked(n id.Node) {
	if o.holders[n] {
		delete(o.holders, n)
		o.former[n] = true
	}
}

// enter lets a caller in unless the directory is closed; the caller ends with d.wg.Done.
func (d *Directory) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.wg.Add(1)
	}
	return !d.closed
}

// Serve answers a request of a peer whose name the connection has proved. It does not block.
func (d *Directory) Serve(from id.Node, req []byte) []byte {
	d.served.Add(1)
	return d.store.Serve(from, req, time.Now())
}

// holders are the nodes closest to a key, remembered for cacheFor.
func (d *Directory) holders(ctx context.Context, key Key, fresh bool) ([]id.Node, time.Time, error) {
	now := time.Now()
	d.mu.Lock()
	c, ok := d.cache[key]
	moves := d.moves
	d.mu.Unlock()
	if ok && !fresh && now.Sub(c.at) < cacheFor {
		return c.nodes, c.at, nil
	}
	d.lookups.Add(1)
	nodes, err := d.net.Closest(ctx, key)
	if err != nil {
		return nil, now, fmt.Errorf("directory: looking up the holders of a key: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.cache) >= maxCached {
		clear(d.cache)
	}
	if d.moves == moves {
		d.cache[key] = cached{nodes, now}
	}
	return nodes, now, nil
}

func (d *Directory) forget(key Key) {
	d.mu.Lock()
	delete(d.cache, key)
	d.mu.Unlock()
}

// call asks a holder, which may be this node.
func (d *Directory) call(ctx context.Context, to id.Node, req []byte) ([]byte, error) {
	d.requests.Add(1)
	if to == d.net.Self() {
		return d.Serve(to, req), nil
	}
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	return d.net.Call(ctx, to, req)
}
