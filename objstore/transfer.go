package objstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/objstore/spill"
)

// Limits of a transfer.
const (
	ChunkSize = spill.Chunk
	inFlight  = 4                // chunks of one object that are asked for at once
	chunkFor  = 60 * time.Second // a chunk that takes longer has failed
)

// transfer is the chunks of one object on their way.
type transfer struct {
	s    *Store
	p    *pull
	data []byte

	mu      sync.Mutex
	next    int       // chunk
	holders []id.Node // that have not failed
	errs    []error   // of those that have
}

// transfer fills data from the holders. When it returns, nobody writes to data any more.
func (s *Store) transfer(p *pull, data []byte) error {
	t := &transfer{s: s, p: p, data: data}
	for _, n := range p.info.Holders {
		if n != s.cfg.Node && !slices.Contains(t.holders, n) {
			t.holders = append(t.holders, n)
		}
	}
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range min(inFlight, t.chunks()) {
		wg.Go(func() {
			if err := t.work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (t *transfer) chunks() int { return (len(t.data) + ChunkSize - 1) / ChunkSize }

// work brings chunks until there are no more.
func (t *transfer) work(ctx context.Context) error {
	for ctx.Err() == nil {
		t.mu.Lock()
		i := t.next
		t.next++
		t.mu.Unlock()
		if i >= t.chunks() {
			return nil
		}
		if err := t.chunk(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// chunk asks the holders in turn, beginning with another one for each chunk.
func (t *transfer) chunk(ctx context.Context, i int) error {
	for {
		from, err := t.holder(i)
		if err != nil {
			return err
		}
		err = t.fetch(ctx, from, i*ChunkSize, min(ChunkSize, len(t.data)-i*ChunkSize))
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t.drop(from, err)
	}
}

func (t *transfer) holder(i int) (id.Node, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.holders) == 0 {
		return "", errors.Join(append([]error{ErrNoHolder}, t.errs...)...)
	}
	return t.holders[i%len(t.holders)], nil
}

func (t *transfer) drop(n id.Node, why error) {
	t.mu.Lock()
	i := slices.Index(t.holders, n)
	if i >= 0 {
		t.holders = slices.Delete(t.holders, i, i+1)
		t.errs = append(t.errs, fmt.Errorf("from %s: %w", n.Short(), why))
	}
	t.mu.Unlock()
	if i >= 0 {
		t.s.cfg.Event(Event{Kind: "holder-dropped", Object: t.p.info.ID, Peer: n, Text: why.Error()})
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// near says that what comes from a node comes through no network.
func (s *Store) near(n id.Node) bool {
	l, ok := s.cfg.Net.(interface{ Near(id.Node) bool })
	return ok && l.Near(n)
}

func (t *transfer) fetch(ctx context.Context, from id.Node, off, n int) error {
	if t.s.cfg.Net == nil {
		return errors.New("objstore: this node has no network")
	}
	ctx, cancel := context.WithTimeout(ctx, chunkFor)
	defer cancel()
	dst := t.data[off : off+n]
	req := chunkRequest{t.p.info.ID, t.p.info.Attempt, uint64(len(t.data)), uint64(off), uint32(n), t.p.info.Owner, t.s.near(from)}
	meta, _, err := t.s.cfg.Net.Fetch(ctx, from, req.append(nil), func(_ []byte, k int) ([]byte, error) {
		if k != n {
			return nil, fmt.Errorf("objstore: a chunk of %d bytes, asked for %d", k, n)
		}
		return dst, nil
	})
	if err != nil {
		return err
	}
	if len(meta) == 0 && req.bare {
		return nil
	}
	if len(meta) != 4 || binary.BigEndian.Uint32(meta) != crc32.Checksum(dst, castagnoli) {
		return fmt.Errorf("%w: chunk at %d does not match its checksum", ErrCorrupt, off)
	}
	return nil
}
