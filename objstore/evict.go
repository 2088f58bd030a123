package objstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/spill"
)

// Limits and times of a full store.
const (
	highWater = 90 // percent of the arena in use: from here on objects are moved out before anybody waits
	lowWater  = 75 // percent to which they are

	fuseBelow = 1 << 20 // smaller objects share a file
	fuseSize  = 4 << 20 // of which this is about the size, so that little stays when one of it is still needed
	fuseMost  = 4096    // and the number of objects, each of which is held while it is written

	watchEvery = time.Second
	collectFor = 250 * time.Millisecond // for processes to look for what they forgot: one may be stopped
	cleanupFor = 2 * time.Millisecond   // that cleanups take after a collection, about
	roomFor    = 5 * time.Second        // without anything being moved out
	roomLeast  = time.Millisecond       // between two looks for something to move out
	roomMost   = 100 * time.Millisecond // doubled up to this
	dropFor    = 2 * time.Second        // for an owner's word on one copy
	diskPause  = time.Second            // after the disk failed
	diskTell   = 10 * time.Second       // between two lines of the log on that
)

const (
	recentMost = 64              // objects that came last, and that go last
	recentFor  = 2 * time.Second // the arena's word of the last use is good to about one
)

// came is an object that was pulled or restored.
type came struct {
	id id.Object
	at time.Time
}

// cameLocked notes that an object has come because somebody wants it.
func (s *Store) cameLocked(o id.Object) {
	s.recent[s.recentAt%recentMost] = came{o, time.Now()}
	s.recentAt++
}

func (s *Store) recently() map[id.Object]time.Time {
	m := map[id.Object]time.Time{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.recent {
		if c.at.After(m[c.id]) {
			m[c.id] = c.at
		}
	}
	return m
}

// Need is what an object that has no room needs.
type Need struct {
	Size int64
	Any  bool // there is no lack of bytes in the arena, but of entries or of the system's memory: any object helps
}

// copied is a copy that this node pulled and told the owner of.
type copied struct {
	owner   id.Addr
	job     id.Job
	attempt uint32
}

// needOf is what an object needs that the arena refused with err; false when it was for another reason.
func needOf(size int64, err error) (Need, bool) {
	var full *arena.FullError
	if !errors.As(err, &full) {
		return Need{}, false
	}
	return Need{size, full.What != arena.FullBytes}, true
}

// Room moves objects that nobody holds out of the arena until an object that had no room has a chance of it:
// copies that are on other nodes too go, others are spilled, both least recently used first. It gives up
// when nothing could be moved for a time, also not after Config.Reclaim; then the error says why.
func (s *Store) Room(ctx context.Context, n Need) error {
	err := s.makeRoom(ctx, n)
	if errors.Is(err, ErrNoRoom) && ctx.Err() == nil && s.cfg.Reclaim(ctx) {
		err = s.makeRoom(ctx, n)
	}
	return err
}

func (s *Store) makeRoom(ctx context.Context, n Need) error {
	ctx, cancel := context.WithTimeoutCause(ctx, roomFor, ErrNoRoom)
	defer cancel()
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	var why error
	for pause := roomLeast; ; pause = min(2*pause, roomMost) {
		select {
		case s.making <- struct{}{}:
		case <-ctx.Done():
			return s.noRoom(ctx, n, why)
		}
		moved, err := 0, error(nil)
		if n.Any || !s.fits(n.Size) {
			s.collect(ctx)
			moved, err = s.evict(ctx, func() bool { return n.Any || s.fits(n.Size) })
		}
		<-s.making
		if err != nil {
			why = err
		}
		if moved > 0 || !n.Any && s.fits(n.Size) {
			s.wake() // the next one is not to wait
			return nil
		}
		if !s.pause(ctx, pause) {
			return s.noRoom(ctx, n, why)
		}
	}
}

func (s *Store) noRoom(ctx context.Context, n Need, why error) error {
	err := fmt.Errorf("objstore: making room for %d bytes: %w", n.Size, context.Cause(ctx))
	if why != nil {
		err = fmt.Errorf("%w: %w", err, why)
	}
	return err
}

// pause waits, and says whether there is time left.
func (s *Store) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}

// collect has processes look for references that they forgot, and leaves the cleanups a moment.
func (s *Store) collect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, collectFor)
	defer cancel()
	if s.cfg.Collect(ctx) {
		s.pause(ctx, cleanupFor)
	}
}

// fits says whether there is room in one piece. A small object counts as a granule: it may need one.
func (s *Store) fits(size int64) bool {
	_, run := s.cfg.Arena.Left()
	return run >= max(arena.Granule, size)
}

// used is the part of the arena that is in use, in percent.
func (s *Store) used() int64 {
	free, _ := s.cfg.Arena.Left()
	return 100 - 100*free/s.cfg.Arena.Size()
}

func (s *Store) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// watch moves objects out before somebody has to wait for it, lets those pass who wait, and keeps the files dense.
func (s *Store) watch() {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-s.kick:
		case <-s.ctx.Done():
			return
		}
		full, sparse := s.used() >= highWater, s.cfg.Spill.Sparse()
		unused := s.cfg.Arena.Files() && s.cfg.Spill.Stats().Objects == 0
		if !full && !sparse && !unused {
			continue
		}
		select {
		case s.making <- struct{}{}:
		default:
			continue // somebody does it
		}
		if full {
			s.collect(s.ctx)
			s.evict(s.ctx, func() bool { return s.waiting.Load() > 0 || s.used() <= lowWater })
		}
		if sparse {
			s.compact()
		}
		if s.cfg.Spill.Stats().Objects == 0 { // and nobody else writes any now
			s.cfg.Arena.SetFiles(false)
		}
		<-s.making
	}
}

// evict moves out one idle object after the other, until enough is true or there are no more, and says how
// many. The error is the last failure to write one. It is for one caller at a time.
func (s *Store) evict(ctx context.Context, enough func() bool) (moved int, err error) {
	var idle []arena.Entry
	s.cfg.Arena.Idle(func(e arena.Entry) bool { idle = append(idle, e); return true })
	recent := s.recently()
	for i := range idle {
		if at, ok := recent[idle[i].ID]; ok {
			idle[i].LastUse = at.Add(recentFor) // whoever asked for it has not come for it yet
		}
	}
	slices.SortStableFunc(idle, func(a, b arena.Entry) int { return a.LastUse.Compare(b.LastUse) })
	var small []arena.Entry
	bytes := int64(0)
	for _, e := range idle {
		n, good := s.unload(e)
		switch {
		case ctx.Err() != nil:
			return moved, err
		case good:
			moved += n
		case s.dropCopy(ctx, e):
			moved++
		case s.cfg.Spill == nil:
			continue
		case e.Size >= fuseBelow:
			moved += s.spill(&err, e)
		default:
			small = append(small, e)
			if bytes += e.Size; bytes < fuseSize && len(small) < fuseMost {
				continue
			}
			moved += s.spill(&err, small...)
			small, bytes = nil, 0
		}
		if enough() {
			return moved, err
		}
	}
	return moved + s.spill(&err, small...), err
}

// unload deletes an object whose record is good, for it came from there, and says how many it deleted: none where
// somebody has taken it meanwhile. It stays what it was to its owner: a copy of this node.
func (s *Store) unload(e arena.Entry) (moved int, good bool) {
	s.mu.Lock() // nobody finds the record damaged in between
	defer s.mu.Unlock()
	i, ok := s.cfg.Spill.Find(e.ID)
	if !ok || i != (spill.Info{ID: e.ID, Job: e.Job, Attempt: e.Attempt, Size: e.Size}) {
		return 0, false
	}
	if !s.cfg.Arena.Evict(e.ID, e.Attempt) {
		return 0, true
	}
	s.unloaded.Add(1)
	s.cfg.Event(Event{Kind: "unloaded", Object: e.ID, N: e.Size})
	return 1, true
}

// dropCopy deletes a copy that the owner can do without.
func (s *Store) dropCopy(ctx context.Context, e arena.Entry) bool {
	s.mu.Lock()
	c, ok := s.copies[e.ID]
	s.mu.Unlock()
	if !ok || c.attempt != e.Attempt {
		return false
	}
	m := wire.Copied{ID: e.ID, Attempt: e.Attempt, Node: s.cfg.Node}
	ctx, cancel := context.WithTimeout(ctx, dropFor)
	err := s.cfg.Drop(ctx, c.owner, m)
	cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.cfg.Arena.Evict(e.ID, e.Attempt) {
		s.cfg.Spill.DropAttempt(e.ID, e.Attempt)
		delete(s.copies, e.ID)
		s.Unpublish(e.ID)
		s.evicted.Add(1)
		s.cfg.Event(Event{Kind: "evicted", Object: e.ID, N: e.Size})
		return true
	}
	if exists, _ := s.cfg.Arena.State(e.ID); exists && !errors.Is(err, ErrLastCopy) {
		s.cfg.Copied(c.owner, m) // it stays, and the owner may think that it went
	}
	return false
}

// spill writes objects into one file and evicts them; how many it says. Those that were taken or deleted
// meanwhile stay, or stay away.
func (s *Store) spill(why *error, es ...arena.Entry) (moved int) {
	if len(es) == 0 || time.Since(s.diskFailed) < diskPause {
		return 0
	}
	var objs []spill.Object
	var holds []*arena.Hold
	for _, e := range es {
		h, ok := s.cfg.Arena.Get(e.ID)
		if !ok {
			continue
		}
		holds = append(holds, h)
		objs = append(objs, spill.Object{Info: infoOf(h), Data: h.Bytes()})
	}
	s.cfg.Arena.SetFiles(true)
	err := s.cfg.Spill.Write(objs)
	if noSpace(err) && s.dropFiles() > 0 {
		err = s.cfg.Spill.Write(objs)
	}
	for _, h := range holds {
		h.Release()
	}
	if err != nil {
		*why, s.diskFailed = err, time.Now()
		if s.diskFailed.Sub(s.diskTold) > diskTell {
			s.diskTold = s.diskFailed
			s.cfg.Logger.Warn("objstore: objects cannot be spilled and stay in memory", "objects", len(objs), "err", err)
		}
		s.cfg.Event(Event{Kind: "spill-failed", N: int64(len(objs)), Text: err.Error()})
		return 0
	}
	for _, o := range objs {
		if !s.cfg.Arena.Evict(o.ID, o.Attempt) {
			s.cfg.Spill.DropAttempt(o.ID, o.Attempt)
			continue
		}
		moved++
		s.spilled.Add(1)
		s.cfg.Event(Event{Kind: "spilled", Object: o.ID, N: o.Size})
	}
	return moved
}

func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// dropFiles gives up the files of objects that are in memory again, on a disk that has no room for others; how many.
// They would have spared a second writing. It is for whoever may evict.
func (s *Store) dropFiles() (n int) {
	s.cfg.Arena.List(func(e arena.Entry) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := spill.Info{ID: e.ID, Job: e.Job, Attempt: e.Attempt, Size: e.Size}
		if now, ok := s.cfg.Spill.Find(e.ID); !ok || now != i {
			return true
		}
		if _, sealed := s.cfg.Arena.State(e.ID); sealed && s.cfg.Spill.DropAttempt(e.ID, e.Attempt) {
			n++
		}
		return true
	})
	if n > 0 {
		s.cfg.Event(Event{Kind: "files-dropped", N: int64(n)})
	}
	return n
}

// compact gives back what freed objects left of files that they shared. It is for whoever may evict.
func (s *Store) compact() {
	if time.Since(s.diskFailed) < diskPause {
		return
	}
	n, err := s.cfg.Spill.Compact()
	if n > 0 {
		s.cfg.Event(Event{Kind: "compacted", N: int64(n)})
	}
	if err != nil {
		s.diskFailed = time.Now()
		s.cfg.Logger.Warn("objstore: files of spilled objects keep the room of freed ones", "err", err)
	}
}

func infoOf(h *arena.Hold) spill.Info {
	return spill.Info{ID: h.ID(), Job: h.Job(), Attempt: h.Attempt(), Size: h.Size()}
}
