package directory

import (
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// reviews writes this node's records to nodes that have become holders, and drops what has expired.
func (d *Directory) reviews() {
	t := time.NewTimer(reviewEvery)
	defer t.Stop()
	moved := false
	for {
		if !moved {
			select {
			case <-t.C:
			case <-d.review:
				moved = true
			case <-d.ctx.Done():
				return
			}
		}
		if moved && !d.settle() {
			return
		}
		d.store.Sweep(time.Now())
		moved = d.reviewOwn(moved)
		t.Reset(reviewEvery)
	}
}

// settle waits until no node came or went for reviewSoon: they come and go in numbers. False: the directory closes.
func (d *Directory) settle() bool {
	t := time.NewTimer(reviewSoon)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return true
		case <-d.review:
			t.Reset(reviewSoon)
		case <-d.ctx.Done():
			return false
		}
	}
}

// reviewOwn looks at the keys that nodes which came or went may concern, taking a quarter of the time, or at
// all keys with fresh lookups, spread over reviewOver: many keys of many nodes would take the cluster's processors
// from those who wait for an answer. It says whether nodes came or went meanwhile; the rest is looked at next time.
func (d *Directory) reviewOwn(moved bool) (again bool) {
	keys := d.toReview(moved)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for i, key := range keys {
		begin := time.Now()
		d.reviewKey(key, !moved)
		wait := 3 * time.Since(begin)
		if !moved {
			wait = max(wait, reviewOver/time.Duration(len(keys)))
		}
		if i == len(keys)-1 {
			break
		}
		pause.Reset(wait)
		select {
		case <-pause.C:
		case <-d.review:
			return true
		case <-d.ctx.Done():
			return false
		}
	}
	return false
}

// toReview are the keys of a review. What has expired of them is dropped.
func (d *Directory) toReview(moved bool) (keys []Key) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, o := range d.own {
		for at, it := range o.items {
			if now.After(it.expiry) {
				delete(o.items, at)
				d.owns--
			}
		}
		switch {
		case len(o.items) == 0:
			delete(d.own, key)
		case !moved || o.moved:
			keys = append(keys, key)
		}
	}
	return keys
}

// reviewKey writes a key's records to those of its holders that have not got them.
func (d *Directory) reviewKey(key Key, fresh bool) {
	d.mu.Lock()
	if o := d.own[key]; o != nil {
		o.moved = false // who moves from now on counts again
	}
	d.mu.Unlock()
	nodes, _, err := d.holders(d.ctx, key, fresh)
	d.mu.Lock()
	o := d.own[key]
	if o == nil || err != nil {
		if o != nil {
			o.moved = true // the next review tries again
		}
		d.mu.Unlock()
		return
	}
	is := map[id.Node]bool{}
	var missing []id.Node
	for _, n := range nodes {
		if is[n] = true; !o.holders[n] {
			missing = append(missing, n)
		}
	}
	for n := range o.holders { // it may have restarted empty: when it is a holder again it is written again
		if !is[n] {
			o.leaveLocked(n)
		}
	}
	items := make(map[place]item, len(o.items))
	if len(missing) > 0 {
		for at, it := range o.items {
			items[at] = it
		}
	}
	d.mu.Unlock()
	for _, n := range missing {
		if w := d.sendTo(d.ctx, n, []Key{key}, map[Key]map[place]item{key: items}); w.err == nil {
			d.settled(key, n)
		}
	}
}
