package objstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/spill"
)

// otherFor is how long somebody else who creates an object is waited for before room is asked for again: it
// may have given up.
const otherFor = 100 * time.Millisecond

type pullKey struct {
	id      id.Object
	attempt uint32
}

// pull is one object on its way here.
type pull struct {
	info   wire.ObjectInfo
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // once done is closed

	waiters int // guarded by Store.mu
}

// why is why a pull was ended.
func (p *pull) why() error { return context.Cause(p.ctx) }

// Pull brings a copy of an object into the arena, from this node's files or from another node. What it needs of info: ID, Size, Attempt, Holders and Job;
// Hash where it is known; Owner, who is told.
func (s *Store) Pull(ctx context.Context, info wire.ObjectInfo) error {
	if s.here(info.ID, info.Attempt) {
		return nil
	}
	p, err := s.join(info)
	if err != nil {
		return fmt.Errorf("objstore: pull of %v: %w", info.ID, err)
	}
	defer s.leave(p)
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("objstore: pull of %v: %w", info.ID, context.Cause(ctx))
	}
}

// join finds the pull of an object or starts one.
func (s *Store) join(info wire.ObjectInfo) (*pull, error) {
	k := pullKey{info.ID, info.Attempt}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pulls[k]; p != nil {
		p.waiters++
		s.joined.Add(1)
		return p, nil
	}
	if s.closed {
		return nil, ErrClosed
	}
	if len(s.pulls) >= maxPulls {
		return nil, ErrBusy
	}
	p := &pull{info: info, done: make(chan struct{}), waiters: 1}
	p.ctx, p.cancel = context.WithCancelCause(s.ctx)
	s.pulls[k] = p
	s.wg.Go(func() { s.run(p) })
	return p, nil
}

// leave ends a pull when nobody waits for it any more.
func (s *Store) leave(p *pull) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.waiters--; p.waiters == 0 {
		s.endLocked(p, context.Canceled)
	}
}

// endLocked makes a pull fail; nobody joins it any more.
func (s *Store) endLocked(p *pull, why error) {
	if k := (pullKey{p.info.ID, p.info.Attempt}); s.pulls[k] == p {
		delete(s.pulls, k)
	}
	p.cancel(why)
}

func (s *Store) run(p *pull) {
	s.cfg.Event(Event{Kind: "pull", Object: p.info.ID, N: int64(p.info.Size)})
	if err := s.pull(p); err != nil {
		p.err = fmt.Errorf("objstore: pull of %v: %w", p.info.ID, err)
		s.failed.Add(1)
		s.cfg.Event(Event{Kind: "pull-failed", Object: p.info.ID, Text: err.Error()})
	} else {
		s.cfg.Event(Event{Kind: "pulled", Object: p.info.ID, N: int64(p.info.Size)})
	}
	s.mu.Lock()
	s.endLocked(p, context.Canceled)
	s.mu.Unlock()
	close(p.done)
}

func (s *Store) pull(p *pull) error {
	select {
	case s.running <- struct{}{}:
		defer func() { <-s.running }()
	case <-p.ctx.Done():
		return p.why()
	}
	if i, ok := s.spilledHere(p.info.ID, p.info.Attempt); ok {
		err := s.restore(p, i)
		if err == nil || !errors.Is(err, spill.ErrCorrupt) {
			return err
		}
		if e := s.bring(p); e != nil {
			return fmt.Errorf("%w; %w", err, e)
		}
		return nil
	}
	return s.bring(p)
}

// bring pulls an object from its holders.
func (s *Store) bring(p *pull) error {
	w, err := s.room(p, int64(p.info.Size), p.info.Attempt)
	if w == nil {
		return err
	}
	defer w.Abort() // does nothing once it is sealed
	if err := s.transfer(p, w.Bytes()); err != nil {
		return err
	}
	if p.info.Hash != 0 && xxhash.Sum64(w.Bytes()) != p.info.Hash {
		return fmt.Errorf("%w: its content hash differs, from %v", ErrCorrupt, p.info.Holders)
	}
	if err := s.seal(p, w); err != nil {
		return err
	}
	s.pulled.Add(1)
	s.bytesIn.Add(p.info.Size)
	if !p.info.Owner.IsZero() {
		s.cfg.Copied(p.info.Owner, wire.Copied{ID: p.info.ID, Attempt: p.info.Attempt, Node: s.cfg.Node})
		s.publish(p.info.Owner, p.info.ID, p.info.Hash)
	}
	return nil
}

// room gets room in the arena, and makes some where there is none; no writer and no error mean that the
// object has come by another way.
func (s *Store) room(p *pull, size int64, attempt uint32) (*arena.Writer, error) {
	for p.ctx.Err() == nil {
		if s.here(p.info.ID, p.info.Attempt) {
			return nil, nil
		}
		w, err := s.cfg.Arena.Create(p.info.ID, size, p.info.Job, attempt)
		if n, ok := needOf(size, err); ok {
			if e := s.Room(p.ctx, n); e != nil {
				return nil, fmt.Errorf("%w (%w)", err, e)
			}
			continue
		}
		if !errors.Is(err, arena.ErrExists) {
			return w, err
		}
		ctx, cancel := context.WithTimeout(p.ctx, otherFor)
		h, err := s.cfg.Arena.Wait(ctx, p.info.ID)
		cancel()
		if err == nil {
			h.Release()
		} else if ctx.Err() == nil {
			return nil, err
		}
	}
	return nil, p.why()
}

// here says whether the arena has the object. The copy of an earlier attempt was fenced, so it goes; one of a
// later attempt is what the owner has by now.
func (s *Store) here(o id.Object, attempt uint32) bool {
	h, ok := s.cfg.Arena.Get(o)
	if !ok {
		return false
	}
	defer h.Release()
	if h.Attempt() >= attempt {
		return true
	}
	s.cfg.Arena.Delete(o)
	return false
}

// seal seals under the lock, so that FreeJob comes before it or deletes what was sealed.
func (s *Store) seal(p *pull, w *arena.Writer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ctx.Err() != nil {
		return p.why()
	}
	_, err := w.Seal(false)
	s.cameLocked(p.info.ID)
	if err == nil && !p.info.Owner.IsZero() {
		s.copies[p.info.ID] = copied{p.info.Owner, p.info.Job, p.info.Attempt}
	}
	return err
}
