package directory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Get reads all records of a key. No record and no error is a miss.
func (d *Directory) Get(ctx context.Context, key Key) ([]Record, error) {
	return d.read(ctx, ask{key: key, all: true})
}

// GetCoarse is Get for a key of coarse records.
func (d *Directory) GetCoarse(ctx context.Context, key Key) ([]Record, error) {
	return d.read(ctx, ask{key: key, all: true, rough: true})
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
	if len(rs) == 0 && err != nil {
		d.forget(q.key)
	}
	switch {
	case len(rs) > 0 && !q.rough:
		d.hits.Add(1)
	case !q.rough:
		d.misses.Add(1)
	}
	return rs, err
}

// found is one holder's answer.
type found struct {
	rs  []stored
	err error
}

// readFrom asks the holders of a key. For one object it asks one of them, and all once that one has nothing or is slow:
// what it has is taken as it is.
func (d *Directory) readFrom(ctx context.Context, nodes []id.Node, q ask) ([]Record, error) {
	var m merge
	if !q.all && len(nodes) > 1 {
		nodes = d.firstToAsk(q.key, nodes)
		soon, cancel := context.WithTimeout(ctx, slowAfter)
		rs, err := d.readOne(soon, nodes[0], q)
		cancel()
		if err != nil {
			d.turn.Add(1)
		} else if m.add(found{rs: rs}); m.live() {
			return m.records(), nil
		} else {
			nodes = nodes[1:]
		}
	}
	return d.readAll(ctx, nodes, q, m)
}

// readAll asks several holders at once, beside what another one has answered. For one object the first that has it
// will do; with the first records of a whole key in hand the others get mergeFor more.
func (d *Directory) readAll(ctx context.Context, nodes []id.Node, q ask, m merge) ([]Record, error) {
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
	for range nodes {
		select {
		case f := <-res:
			m.add(f)
			if !q.all && m.live() {
				return m.records(), nil
			}
			if m.found() && late == nil {
				t := time.NewTimer(mergeFor)
				defer t.Stop()
				late = t.C
			}
		case <-late:
			return m.records(), nil
		case <-ctx.Done():
			return nil, fmt.Errorf("directory: reading: %w", context.Cause(ctx))
		}
	}
	if m.answered == 0 {
		return nil, fmt.Errorf("directory: none of %d holders answered: %w", m.failed, m.last)
	}
	return m.records(), nil
}

// firstToAsk gives the holders in the order in which to ask them: this node, or else the one that was asked last time,
// while it answers soon: what both ends have at hand makes it quicker. Each reader and key begins with another one.
func (d *Directory) firstToAsk(key Key, nodes []id.Node) []id.Node {
	i := slices.Index(nodes, d.net.Self())
	if i < 0 {
		i = int((d.turn.Load() + uint64(key[0])) % uint64(len(nodes)))
	}
	return slices.Concat(nodes[i:], nodes[:i])
}

// merge is what holders have answered: of each writer the latest.
type merge struct {
	by               map[mergeKey]stored
	answered, failed int
	last             error
}

type mergeKey struct {
	place
	writer id.Node
}

func (m *merge) add(f found) {
	if f.err != nil {
		m.failed++
		m.last = f.err
	} else {
		m.answered++
	}
	for _, s := range f.rs {
		if m.by == nil {
			m.by = map[mergeKey]stored{}
		}
		k := mergeKey{place{s.rec.Key, s.rec.Shard, s.rec.Sub}, s.rec.Writer}
		if old, ok := m.by[k]; !ok || s.newer(old) {
			m.by[k] = s
		}
	}
}

func (m *merge) found() bool { return len(m.by) > 0 }

// live says that there is a record that was not deleted.
func (m *merge) live() bool {
	for _, s := range m.by {
		if !s.dead {
			return true
		}
	}
	return false
}

func (m *merge) records() []Record {
	out := make([]Record, 0, len(m.by))
	for _, s := range m.by {
		if !s.dead {
			out = append(out, s.rec)
		}
	}
	return out
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
