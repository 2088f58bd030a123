package objstore

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/objstore/spill"
)

// Limits of a Store.
const (
	maxPulls   = 1 << 16 // pulls that wait or run: bounds the memory of a node that is asked too much
	maxRunning = 16      // pulls that have room in the arena: more would only share the same lanes
)

// Store is a node's side of the objects of a cluster.
type Store struct {
	// constant after construction
	cfg     Config
	ctx     context.Context
	stop    context.CancelFunc
	running chan struct{}
	making  chan struct{} // has an element while somebody moves objects out
	kick    chan struct{}
	records *records

	// atomic
	pulled, joined, failed, bytesIn, bytesOut, chunksOut atomic.Uint64
	evicted, spilled, unloaded, restored, lost           atomic.Uint64
	waiting                                              atomic.Int64 // for room

	diskFailed, diskTold time.Time // the last time each; they belong to whoever has put an element into making

	wg sync.WaitGroup

	mu     sync.Mutex
	closed bool
	pulls  map[pullKey]*pull
	copies map[id.Object]copied // some may be gone

	recent   [recentMost]came // a ring
	recentAt int
}

// NewStore opens the store of a node. Close ends it.
func NewStore(cfg Config) *Store {
	cfg = cfg.withDefaults()
	s := &Store{cfg: cfg, running: make(chan struct{}, maxRunning), making: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		pulls: map[pullKey]*pull{}, copies: map[id.Object]copied{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if cfg.Directory != nil {
		s.records = newRecords(&s.cfg)
	}
	s.wg.Go(s.watch)
	return s
}

// Free deletes this node's copies of objects and their records. Who still reads one reads on.
func (s *Store) Free(ids []id.Object) {
	s.mu.Lock()
	for _, o := range ids {
		s.cfg.Arena.Delete(o)
		s.cfg.Spill.Drop(o)
		delete(s.copies, o)
	}
	s.mu.Unlock()
	s.Unpublish(ids...)
}

// FreeJob ends the pulls of a job and deletes its objects and their records.
func (s *Store) FreeJob(job id.Job) {
	s.mu.Lock()
	for _, p := range s.pulls {
		if p.info.Job == job {
			s.endLocked(p, ErrFreed)
		}
	}
	s.cfg.Arena.DeleteJob(job)
	s.cfg.Spill.DropJob(job)
	for o, c := range s.copies {
		if c.job == job {
			delete(s.copies, o)
		}
	}
	s.mu.Unlock()
	if s.records != nil {
		s.records.dropIf(func(l live) bool { return l.job == job })
	}
}

// Stats counts what a store has done since it was opened.
type Stats struct {
	Pulled    uint64 `json:"pulled"`     // objects
	Joined    uint64 `json:"joined"`     // pulls that another one served
	Failed    uint64 `json:"failed"`     // pulls
	Pulling   int    `json:"pulling"`    // now
	BytesIn   uint64 `json:"bytes_in"`   // that passed their checks
	BytesOut  uint64 `json:"bytes_out"`  // handed to lanes
	ChunksOut uint64 `json:"chunks_out"` // handed to lanes
	Evicted   uint64 `json:"evicted"`    // copies dropped for want of room
	Spilled   uint64 `json:"spilled"`    // objects written to files
	Unloaded  uint64 `json:"unloaded"`   // objects dropped whose files were still good
	Restored  uint64 `json:"restored"`   // objects read back from files
	Lost      uint64 `json:"lost"`       // objects whose files could not be read
	Published int    `json:"published"`  // records that this node keeps alive now
	Shed      uint64 `json:"shed"`       // records not kept because there were too many
}

// Stats counts.
func (s *Store) Stats() Stats {
	st := Stats{Pulled: s.pulled.Load(), Joined: s.joined.Load(), Failed: s.failed.Load(), BytesIn: s.bytesIn.Load(),
		BytesOut: s.bytesOut.Load(), ChunksOut: s.chunksOut.Load(),
		Evicted: s.evicted.Load(), Spilled: s.spilled.Load(), Unloaded: s.unloaded.Load(), Restored: s.restored.Load(), Lost: s.lost.Load()}
	s.mu.Lock()
	st.Pulling = len(s.pulls)
	s.mu.Unlock()
	if s.records != nil {
		st.Published, st.Shed = s.records.count()
	}
	return st
}

// Spilled counts the objects that are in files now; some may be in the arena too.
func (s *Store) Spilled() spill.Stats { return s.cfg.Spill.Stats() }

// ListSpilled lists the objects that are in files only, as [spill.Dir.List] does; fewer than most does not mean that
// it is the end, none does.
func (s *Store) ListSpilled(after id.Object, most int) (is []spill.Info, last id.Object) {
	for {
		page := s.cfg.Spill.List(after, most)
		if len(page) == 0 {
			return nil, id.Object{}
		}
		after = page[len(page)-1].ID
		page = slices.DeleteFunc(page, func(i spill.Info) bool { exists, _ := s.cfg.Arena.State(i.ID); return exists })
		if len(page) > 0 {
			return page, after
		}
	}
}

// EachSpilled calls f for each object that is in files only, in no order.
func (s *Store) EachSpilled(f func(spill.Info)) {
	for _, i := range s.cfg.Spill.All() {
		if exists, _ := s.cfg.Arena.State(i.ID); !exists {
			f(i)
		}
	}
}

// Close ends all pulls, removes what is spilled, tries for a moment to delete this node's records, and waits for all goroutines. It
// comes before the host is closed, and after it stopped calling Serve; the arena stays open.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, p := range s.pulls {
		s.endLocked(p, ErrClosed)
	}
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
	if s.records != nil {
		s.records.close()
	}
	return s.cfg.Spill.Close()
}
