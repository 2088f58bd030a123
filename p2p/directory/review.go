package directory

import (
	"maps"
	"math/rand/v2"
	"slices"
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
	lacks := lacking{}
	for i, key := range keys {
		begin := time.Now()
		d.reviewKey(key, !moved, lacks)
		if (i+1)%reviewAtOnce == 0 {
			d.supply(lacks)
			lacks = lacking{}
		}
		wait := 3*time.Since(begin) + rand.N(reviewPause) // who began together does not go on together
		if !moved {
			wait = max(wait, reviewOver/time.Duration(len(keys)))
		}
		pause.Reset(wait)
		select {
		case <-pause.C:
		case <-d.review:
			again = true
		case <-d.ctx.Done():
			return false
		}
		if again {
			break
		}
	}
	d.supply(lacks)
	return again
}

// toReview are the keys of a review. What has expired of them is dropped.
func (d *Directory) toReview(moved bool) (keys []Key) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, o := range d.own {
		for at, it := range o.items {
			if now.After(it.expiry) {
				d.dropLocked(o, at)
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

// lacking is what nodes lack that have become holders: by node and key.
type lacking map[id.Node]map[Key]map[place]item

// supply writes it.
func (d *Directory) supply(l lacking) {
	for n, byKey := range l {
		keys := slices.Collect(maps.Keys(byKey))
		if w := d.sendTo(d.ctx, n, keys, byKey); w.err == nil {
			for _, key := range keys {
				d.settled(key, n)
			}
		}
	}
}

// reviewKey looks up who holds a key, and adds its records to what those lack that have not got them.
func (d *Directory) reviewKey(key Key, fresh bool, l lacking) {
	d.mu.Lock()
	if o := d.own[key]; o != nil {
		o.moved = false // who moves from now on counts again
	}
	d.mu.Unlock()
	nodes, _, err := d.holders(d.ctx, key, fresh)
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.own[key]
	if o == nil {
		return
	}
	if err != nil {
		o.moved = true // the next review tries again
		return
	}
	is := map[id.Node]bool{}
	for _, n := range nodes {
		if is[n] = true; !o.holders[n] {
			if l[n] == nil {
				l[n] = map[Key]map[place]item{}
			}
			l[n][key] = maps.Clone(o.items)
		}
	}
	for n := range o.holders { // it may have restarted empty: when it is a holder again it is written again
		if !is[n] {
			o.leaveLocked(n)
		}
	}
}
