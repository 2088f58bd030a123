package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Errors of writing.
var (
	ErrClosed  = errors.New("directory: closed")
	ErrTooMany = errors.New("directory: too many records")
	ErrTooBig  = errors.New("directory: value too big")
	ErrNowhere = errors.New("directory: no holder took the record")
)

// batch is what one flush writes, and who waits for it.
type batch struct {
	done chan struct{}
	err  error
}

// Put writes records and returns when their holders have answered, or with an error when none of the holders
// of some record took it. Records are written again when holders change, until they expire or are deleted.
func (d *Directory) Put(ctx context.Context, rs []Record) error {
	now := time.Now()
	items := make(map[place]item, len(rs))
	for _, r := range rs {
		if len(r.Value) > MaxValue {
			return fmt.Errorf("%w: %d bytes, at most %d", ErrTooBig, len(r.Value), MaxValue)
		}
		exp := r.Expiry
		if exp.IsZero() {
			exp = now.Add(DefaultTTL)
		}
		if most := now.Add(MaxTTL); exp.After(most) {
			exp = most
		}
		items[place{r.Key, r.Shard, r.Sub}] = item{value: append([]byte(nil), r.Value...), epoch: r.Epoch, expiry: exp}
	}
	return d.write(ctx, items)
}

// Delete removes this node's records at the places of rs; their values are not looked at, their epochs are.
func (d *Directory) Delete(ctx context.Context, rs []Record) error {
	exp := time.Now().Add(tombFor)
	items := make(map[place]item, len(rs))
	for _, r := range rs {
		items[place{r.Key, r.Shard, r.Sub}] = item{epoch: r.Epoch, expiry: exp, delete: true}
	}
	return d.write(ctx, items)
}

// write notes the items as this node's own and waits for the flush that carries them.
func (d *Directory) write(ctx context.Context, items map[place]item) error {
	if len(items) == 0 {
		return nil
	}
	d.mu.Lock()
	if err := d.roomLocked(items); err != nil {
		d.mu.Unlock()
		return err
	}
	if d.waiting == nil {
		d.waiting = &batch{done: make(chan struct{})}
		wait := max(flushSoon, time.Until(d.flushed.Add(flushEvery)))
		d.wg.Go(func() { d.flush(wait) })
	}
	b := d.waiting
	for at, it := range items {
		it.seq = d.seq.Add(1)
		if it.delete {
			it.copies = d.lastsLocked(at)
		}
		d.ownLocked(at, it)
		d.pending[at] = it
	}
	d.mu.Unlock()
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("directory: waiting for a write: %w", context.Cause(ctx))
	}
}

// lastsLocked is how long copies of this node's record at a place last.
func (d *Directory) lastsLocked(at place) time.Time {
	if o := d.own[at.key]; o != nil {
		return o.longest
	}
	return time.Now().Add(tombFor)
}

func (d *Directory) roomLocked(items map[place]item) error {
	switch {
	case d.closed:
		return ErrClosed
	case len(d.pending)+len(items) > maxPending:
		return fmt.Errorf("%w: %d wait to be written, at most %d", ErrTooMany, len(d.pending), maxPending)
	case d.owns+len(items) > maxOwn:
		return fmt.Errorf("%w: this node has written %d, at most %d", ErrTooMany, d.owns, maxOwn)
	}
	return nil
}

// ownLocked keeps what was written, so that it can be written again elsewhere.
func (d *Directory) ownLocked(at place, it item) {
	o := d.own[at.key]
	if o == nil {
		if it.delete {
			return
		}
		o = &owned{items: map[place]item{}, holders: map[id.Node]bool{}, former: map[id.Node]bool{}}
		d.own[at.key] = o
	}
	if _, had := o.items[at]; had {
		d.dropLocked(o, at)
	}
	if it.delete {
		return
	}
	o.items[at] = it
	d.owns++
	if at.shard == Coarse {
		d.rough++
	}
	if it.expiry.After(o.longest) {
		o.longest = it.expiry
	}
}

// dropLocked forgets a record of this node.
func (d *Directory) dropLocked(o *owned, at place) {
	delete(o.items, at)
	d.owns--
	if at.shard == Coarse {
		d.rough--
	}
}

// flush waits for more, then writes all that gathered.
func (d *Directory) flush(wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.ctx.Done():
	}
	select { // the batch stays open until a slot is free: under load batches grow
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-d.ctx.Done():
	}
	d.mu.Lock()
	items, b := d.pending, d.waiting
	d.pending, d.waiting, d.flushed = map[place]item{}, nil, time.Now()
	d.mu.Unlock()
	b.err = d.send(d.ctx, items)
	if d.ctx.Err() != nil {
		b.err = ErrClosed
	}
	close(b.done)
}

// send writes items to their holders; once more with a fresh lookup for keys of which a holder failed.
func (d *Directory) send(ctx context.Context, items map[place]item) error {
	byKey := map[Key]map[place]item{}
	for at, it := range items {
		if byKey[at.key] == nil {
			byKey[at.key] = map[place]item{}
		}
		byKey[at.key][at] = it
	}
	d.flushes.Add(1)
	d.keys.Add(uint64(len(byKey)))
	took := map[Key]int{}
	var last error
	for try := range 2 {
		plan := map[id.Node][]Key{}
		former := map[target]bool{} // nodes whose failure is no reason to try again now
		for key := range byKey {
			nodes, _, err := d.holders(ctx, key, try > 0)
			if err != nil {
				last = err
			}
			for n, holds := range d.targets(key, nodes) {
				plan[n] = append(plan[n], key)
				former[target{n, key}] = !holds
			}
		}
		res := make(chan written, len(plan))
		for n, keys := range plan {
			go func() { res <- d.sendTo(ctx, n, keys, byKey) }()
		}
		failed := map[Key]bool{}
		for range plan {
			w := <-res
			for _, key := range w.keys {
				d.confirm(w.to, byKey[key], w.err)
				switch {
				case former[target{w.to, key}]:
				case w.err != nil:
					last, failed[key] = w.err, true
					d.unsettled(key, w.to)
				default:
					took[key]++
					d.settled(key, w.to)
				}
			}
		}
		for key := range byKey {
			if !failed[key] && took[key] > 0 {
				delete(byKey, key)
			}
		}
		if len(byKey) == 0 {
			return nil
		}
	}
	for key := range byKey {
		d.forget(key)
		if took[key] == 0 {
			return fmt.Errorf("%w: %w", ErrNowhere, last)
		}
	}
	return nil
}

// target is a node that is to hear of writes under a key.
type target struct {
	node id.Node
	key  Key
}

// targets are a key's holders now, and those that held this node's records before: they must hear of deletes and of
// newer values. True: the node counts as a holder.
func (d *Directory) targets(key Key, nodes []id.Node) map[id.Node]bool {
	to := map[id.Node]bool{}
	d.mu.Lock()
	defer d.mu.Unlock()
	if o := d.own[key]; o != nil {
		if time.Now().After(o.longest) {
			clear(o.former)
		}
		for n := range o.former {
			to[n] = false
		}
		for n := range o.holders {
			to[n] = true
		}
	}
	for _, n := range nodes {
		to[n] = true
	}
	return to
}

// settled notes that a node holds what this one wrote under key.
func (d *Directory) settled(key Key, n id.Node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.own[key]
	if o == nil {
		return
	}
	if len(o.items) == 0 {
		delete(d.own, key)
		return
	}
	o.holders[n] = true
}

// unsettled notes that a node may not hold what this one wrote under key.
func (d *Directory) unsettled(key Key, n id.Node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o := d.own[key]; o != nil {
		delete(o.holders, n)
	}
}

type written struct {
	to   id.Node
	keys []Key
	err  error
}

// sendTo writes the items of some keys to one node, in requests of bounded size.
func (d *Directory) sendTo(ctx context.Context, to id.Node, keys []Key, byKey map[Key]map[place]item) written {
	w := written{to: to, keys: keys}
	req := newPut()
	push := func() error {
		d.writes.Add(1)
		ans, err := d.call(ctx, to, req.bytes())
		if err == nil {
			err = parsePutAnswer(ans)
		}
		req = newPut()
		return err
	}
	now := time.Now()
	for _, key := range keys {
		for at, it := range byKey[key] {
			if !req.room() {
				if w.err = push(); w.err != nil {
					return w
				}
			}
			req.add(at, it, now)
		}
	}
	w.err = push()
	return w
}
