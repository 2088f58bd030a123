package directory

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Limits of a store; what is past them is refused.
const (
	maxHeld    = 1 << 20   // records, tombstones among them
	maxHeldB   = 256 << 20 // bytes, about
	maxWriters = 64        // of one object under one key, so that they fit into a page
	entryBytes = 200       // what a record costs beside its value
	tombFor    = time.Minute
)

// Store is what one node holds for others. It is safe for concurrent use.
type Store struct {
	mu    sync.Mutex
	keys  map[Key]map[[20]byte]map[author]item
	count int // entries
	dead  int // of which tombstones
	rough int // of the others, those in shard Coarse
	size  int
}

// author is whose record it is, and in which shard.
type author struct {
	writer id.Node
	shard  uint16
}

// NewStore makes an empty store.
func NewStore() *Store { return &Store{keys: map[Key]map[[20]byte]map[author]item{}} }

// Size tells how many live records are held, but for coarse ones, and how many bytes all take.
func (s *Store) Size() (records, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count - s.dead - s.rough, s.size
}

// Serve answers a request of from.
func (s *Store) Serve(from id.Node, req []byte, now time.Time) []byte {
	ans, err := s.serve(from, req, now)
	if err != nil {
		return append([]byte{tagFailed}, err.Error()...)
	}
	return ans
}

func (s *Store) serve(from id.Node, req []byte, now time.Time) ([]byte, error) {
	if len(from) > maxWriter || len(req) == 0 {
		return nil, ErrMessage
	}
	switch req[0] {
	case tagPut:
		return s.put(from, req[1:], now)
	case tagRead:
		q, err := parseAsk(req[1:])
		if err != nil {
			return nil, err
		}
		return s.page(q, now), nil
	}
	return nil, fmt.Errorf("%w: tag %d", ErrMessage, req[0])
}

func (s *Store) put(from id.Node, body []byte, now time.Time) ([]byte, error) {
	refused := 0
	s.mu.Lock()
	defer s.mu.Unlock()
	err := eachPut(body, now, func(at place, it item) {
		if !s.setLocked(at, author{from, at.shard}, it) {
			refused++
		}
	})
	if err != nil {
		return nil, err
	}
	if refused > 0 {
		return nil, fmt.Errorf("%w: %d records refused: this node holds %d in %d bytes", ErrTooMany, refused, s.count, s.size)
	}
	return []byte{tagOK}, nil
}

// setLocked writes unless a later write is there already. It says false when there is no room.
func (s *Store) setLocked(at place, a author, it item) bool {
	subs := s.keys[at.key]
	old, had := subs[at.sub][a]
	if had && !later(it.epoch, it.seq, old.epoch, old.seq) {
		return true
	}
	if !had && (s.count >= maxHeld || s.size+len(it.value)+entryBytes > maxHeldB || len(subs[at.sub]) >= maxWriters) {
		return false
	}
	it.value = append([]byte(nil), it.value...)
	if subs == nil {
		subs = map[[20]byte]map[author]item{}
		s.keys[at.key] = subs
	}
	if subs[at.sub] == nil {
		subs[at.sub] = map[author]item{}
	}
	if had {
		s.countLocked(a, old, -1)
	}
	subs[at.sub][a] = it
	s.countLocked(a, it, 1)
	return true
}

func (s *Store) countLocked(a author, it item, d int) {
	s.count += d
	s.size += d * (len(it.value) + entryBytes)
	switch {
	case it.delete:
		s.dead += d
	case a.shard == Coarse:
		s.rough += d
	}
}

// page is the answer to a read: whole objects in order, until it is full.
func (s *Store) page(q ask, now time.Time) []byte {
	b := []byte{tagPage, 0}
	s.mu.Lock()
	defer s.mu.Unlock()
	subs := s.keys[q.key]
	order := [][20]byte{q.sub}
	if q.all {
		order = order[:0]
		for sub := range subs {
			if !q.follow || bytes.Compare(sub[:], q.after[:]) > 0 {
				order = append(order, sub)
			}
		}
		slices.SortFunc(order, func(a, b [20]byte) int { return bytes.Compare(a[:], b[:]) })
	}
	for _, sub := range order {
		if len(b) > maxPage {
			b[1] = 1
			break
		}
		for _, a := range s.authorsLocked(subs[sub]) {
			it := subs[sub][a]
			if now.Before(it.expiry) {
				rec := Record{Shard: a.shard, Sub: sub, Value: it.value, Epoch: it.epoch, Expiry: it.expiry, Writer: a.writer}
				b = appendStored(b, stored{rec, it.seq, it.delete}, now)
			}
		}
	}
	return b
}

func (s *Store) authorsLocked(m map[author]item) []author {
	l := make([]author, 0, len(m))
	for a := range m {
		l = append(l, a)
	}
	slices.SortFunc(l, func(a, b author) int {
		return cmp.Or(cmp.Compare(a.writer, b.writer), cmp.Compare(a.shard, b.shard))
	})
	return l
}

// Sweep drops what has expired.
func (s *Store) Sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, subs := range s.keys {
		for sub, m := range subs {
			for a, it := range m {
				if now.After(it.expiry) {
					s.countLocked(a, it, -1)
					delete(m, a)
				}
			}
			if len(m) == 0 {
				delete(subs, sub)
			}
		}
		if len(subs) == 0 {
			delete(s.keys, key)
		}
	}
}
