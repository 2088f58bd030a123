package directory

import (
	"context"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Get reads all records of a key. No record and no error is a miss.
func (d *Directory) Get(ctx context.Context, key Key) ([]Record, error) {
	return d.read(ctx, ask{key: key, all: true})
}

// Find reads the records of one object under a key.
func (d *Directory) Find(ctx context.Context, key Key, sub [20]byte) ([]Record, error) {
	return d.read(ctx, ask{key: key, sub: sub})
}

// Ping asks a node for nothing: one control round trip.
func (d *Directory) Ping(ctx context.Context, n id.Node) error {
	if !d.enter() {
		return ErrClosed
	}
	defer d.wg.Done()
	b, err := d.call(ctx, n, ask{}.append(nil))
	if err == nil {
		_, _, err = parsePage(b, Key{}, time.Now())
	}
	return err
}

func (d *Directory) read(ctx context.Context, q ask) ([]Record, error) {
	if !d.enter() {
		return nil, ErrClosed
	}
	defer d.wg.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	nodes, at, err := d.holders(ctx, q.key, false)
	if err != nil {
		return nil, err
	}
	rs, err := d.readFrom(ctx, nodes, q)
	if len(rs) == 0 && time.Since(at) > staleMiss {
		if nodes, _, err = d.holders(ctx, q.key, true); err == nil {
			rs, err = d.readFrom(ctx, nodes, q)
		}
	}
	switch {
	case len(rs) > 0:
		d.hits.Add(1)
		return rs, nil
	case err != nil:
		d.forget(q.key)
	}
	d.misses.Add(1)
	return nil, err
}

// found is one holder's answer.
type found struct {
	rs  []stored
	err error
}

// readFrom asks the holders at once. With the first records in hand the others get mergeFor more.
func (d *Directory) readFrom(ctx context.Context, nodes []id.Node, q ask) ([]Record, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	res := make(chan found, len(nodes))
	for _, n := range nodes {
		d.wg.Go(func() {
			rs, err := d.readOne(ctx, n, q)
			res <- found{rs, err}
		})
	}
	var late <-chan time.Time
	merged := map[[2]any]stored{}
	var last error
	failed := 0
	for range nodes {
		select {
		case f := <-res:
			if f.err != nil {
				failed++
				last = f.err
			}
			for _, s := range f.rs {
				k := [2]any{place{s.rec.Key, s.rec.Shard, s.rec.Sub}, s.rec.Writer}
				if old, ok := merged[k]; !ok || s.newer(old) {
					merged[k] = s
				}
			}
			if len(merged) > 0 && late == nil {
				t := time.NewTimer(mergeFor)
				defer t.Stop()
				late = t.C
			}
			continue
		case <-late:
		case <-ctx.Done():
			return nil, fmt.Errorf("directory: reading: %w", context.Cause(ctx))
		}
		break
	}
	out := make([]Record, 0, len(merged))
	for _, s := range merged {
		if !s.dead {
			out = append(out, s.rec)
		}
	}
	if len(merged) == 0 && failed > 0 && failed == len(nodes) {
		return nil, fmt.Errorf("directory: none of %d holders answered: %w", failed, last)
	}
	return out, nil
}

// readOne reads page after page from one holder.
func (d *Directory) readOne(ctx context.Context, n id.Node, q ask) ([]stored, error) {
	var all []stored
	for range maxPages {
		b, err := d.call(ctx, n, q.append(nil))
		if err != nil {
			return nil, err
		}
		page, more, err := parsePage(b, q.key, time.Now())
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if !more || len(page) == 0 {
			return all, nil
		}
		q.after, q.follow = page[len(page)-1].rec.Sub, true
	}
	return all, nil
}
