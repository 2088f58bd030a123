package objstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/spill"
)

// find says which attempt of an object is here, in the arena or spilled.
func (c *Config) find(o id.Object) (spill.Info, bool) {
	if h, ok := c.Arena.Get(o); ok {
		defer h.Release()
		return infoOf(h), true
	}
	return c.Spill.Find(o)
}

// has is find without taking a hold: nobody uses the object.
func (c *Config) has(o id.Object) bool {
	exists, _ := c.Arena.State(o)
	if !exists {
		_, exists = c.Spill.Find(o)
	}
	return exists
}

// Attempt says which attempt of an object is here, in the arena or spilled.
func (s *Store) Attempt(o id.Object) (attempt uint32, ok bool) {
	i, ok := s.cfg.find(o)
	return i.Attempt, ok
}

// spilledHere says whether an object is spilled here. An earlier attempt was fenced, so it goes.
func (s *Store) spilledHere(o id.Object, attempt uint32) (i spill.Info, ok bool) {
	i, ok = s.cfg.Spill.Find(o)
	if ok && i.Attempt < attempt {
		s.cfg.Spill.DropAttempt(o, i.Attempt)
		return i, false
	}
	return i, ok
}

// restore brings a spilled object back into the arena; its record stays good, see unload. A damaged one is
// forgotten, as a copy that is lost.
func (s *Store) restore(p *pull, i spill.Info) error {
	w, err := s.room(p, i.Size, i.Attempt)
	if w == nil {
		return err
	}
	defer w.Abort() // does nothing once it is sealed
	if err := s.cfg.Spill.Read(i, w.Bytes()); err != nil {
		if errors.Is(err, spill.ErrCorrupt) {
			s.lose(i, p.info.Owner, err)
		}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ctx.Err() != nil {
		return p.why()
	}
	if now, ok := s.cfg.Spill.Find(i.ID); !ok || now != i {
		return fmt.Errorf("%w: it was freed while it was restored", spill.ErrNotFound)
	}
	if _, err := w.Seal(false); err != nil {
		return err
	}
	s.cameLocked(i.ID)
	s.restored.Add(1)
	s.cfg.Event(Event{Kind: "restored", Object: i.ID, N: i.Size})
	return nil
}

// lose forgets a spilled object that cannot be read, and tells its owner, if that is known and the arena has none
// either.
func (s *Store) lose(i spill.Info, owner id.Addr, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.cfg.Spill.DropAttempt(i.ID, i.Attempt) {
		return // it was lost or freed before
	}
	if _, sealed := s.cfg.Arena.State(i.ID); sealed {
		s.cfg.Logger.Warn("objstore: the file of an object that was read back cannot be read any more", "object", i.ID, "err", why)
		return
	}
	delete(s.copies, i.ID)
	s.Unpublish(i.ID)
	s.lost.Add(1)
	s.cfg.Logger.Error("objstore: a spilled object cannot be read and is lost here", "object", i.ID, "err", why)
	s.cfg.Event(Event{Kind: "spill-lost", Object: i.ID, N: i.Size, Text: why.Error()})
	if !owner.IsZero() {
		s.cfg.Dropped(owner, wire.Copied{ID: i.ID, Attempt: i.Attempt, Node: s.cfg.Node})
	}
}

// missing tells the owner of an object that it is not here, if it is not.
func (s *Store) missing(r *chunkRequest) {
	if r.owner.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	exists, _ := s.cfg.Arena.State(r.id) // it moves between arena and files under the lock, or into files first
	_, spilled := s.cfg.Spill.Find(r.id)
	if !exists && !spilled && s.pulls[pullKey{r.id, r.attempt}] == nil {
		s.cfg.Dropped(r.owner, wire.Copied{ID: r.id, Attempt: r.attempt, Node: s.cfg.Node})
	}
}

// EachSpilledRefs calls f for each object in a file whose value holds references, with them or with why they can't be read.
func (s *Store) EachSpilledRefs(f func(o id.Object, refs []codec.Ref, err error)) {
	for _, i := range s.cfg.Spill.WithRefs() {
		refs, err := s.spilledRefs(i)
		if !errors.Is(err, spill.ErrNotFound) {
			f(i.ID, refs, err)
		}
	}
}

func (s *Store) spilledRefs(i spill.Info) ([]codec.Ref, error) {
	b := buffers.Get().(*[ChunkSize]byte)
	defer buffers.Put(b)
	head := b[:min(i.Size, ChunkSize)]
	if _, err := s.cfg.Spill.ReadChunk(i, 0, head); err != nil {
		return nil, err
	}
	refs, need, err := codec.HeadRefs(head)
	if err != nil || need == 0 {
		return refs, err
	}
	whole := make([]byte, i.Size)
	if err := s.cfg.Spill.Read(i, whole); err != nil {
		return nil, err
	}
	return codec.Refs(whole)
}

// buffers hold chunks that are on their way from a file to a lane.
var buffers = sync.Pool{New: func() any { return new([ChunkSize]byte) }}

// serveSpilled answers a request for a chunk of a spilled object without bringing it back. A chunk's sum is the
// one that was made when it was written, so it comes with the answer as it is.
func (s *Store) serveSpilled(r *chunkRequest, i spill.Info) (meta, data []byte, release func(), err error) {
	if i.Attempt != r.attempt || uint64(i.Size) != r.size || r.off%ChunkSize != 0 {
		return nil, nil, nil, fmt.Errorf("objstore: node %s has %v of attempt %d with %d bytes in chunks of %d, not of attempt %d with %d at %d",
			s.cfg.Node.Short(), r.id, i.Attempt, i.Size, ChunkSize, r.attempt, r.size, r.off)
	}
	b := buffers.Get().(*[ChunkSize]byte)
	sum, err := s.cfg.Spill.ReadChunk(i, int(r.off/ChunkSize), b[:r.n])
	if err != nil {
		buffers.Put(b)
		if errors.Is(err, spill.ErrCorrupt) {
			s.lose(i, r.owner, err)
		}
		return nil, nil, nil, err
	}
	return binary.BigEndian.AppendUint32(nil, sum), b[:r.n], func() { buffers.Put(b) }, nil
}
