package directory

import (
	"context"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

const (
	repayFirst = 250 * time.Millisecond // a delete that was not confirmed is sent again after so long, doubled each time
	repayMost  = 10 * time.Second
	maxOwed    = 1 << 17 // deletes; past it a node that missed one keeps its record until that expires
)

// debt is a delete that a node has not confirmed.
type debt struct {
	item
	until time.Time // its copy lasts no longer
}

// confirm notes what a node said to the writes of a key: the deletes among them are owed to it while it has not
// confirmed them, and what was owed before is not where a later write came through.
func (d *Directory) confirm(to id.Node, items map[place]item, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for at, it := range items {
		switch old, ok := d.owed[to][at]; {
		case err == nil && ok && it.seq >= old.seq:
			d.paidLocked(to, at)
		case err != nil && it.delete && to != d.net.Self() && (ok || d.owes < maxOwed):
			if d.owed[to] == nil {
				d.owed[to] = map[place]debt{}
			}
			if !ok {
				d.owes++
			}
			d.owed[to][at] = debt{it, it.copies}
		}
	}
	if len(d.owed[to]) > 0 {
		select {
		case d.owing <- struct{}{}:
		default:
		}
	}
}

func (d *Directory) paidLocked(to id.Node, at place) {
	delete(d.owed[to], at)
	d.owes--
	if len(d.owed[to]) == 0 {
		delete(d.owed, to)
	}
}

// repays sends deletes again to the nodes that missed them: they broke off, were cut off or are dead.
func (d *Directory) repays() {
	t := time.NewTimer(repayMost)
	defer t.Stop()
	wait, armed := repayFirst, false
	for {
		select {
		case <-d.owing:
			if wait = repayFirst; !armed {
				armed = true
				t.Reset(wait)
			}
		case <-t.C:
			if armed = d.repay(d.ctx) > 0; armed {
				wait = min(2*wait, repayMost)
				t.Reset(wait)
			}
		case <-d.ctx.Done():
			return
		}
	}
}

// repay tries once and says how many deletes are owed after that.
func (d *Directory) repay(ctx context.Context) int {
	now := time.Now()
	plan := map[id.Node]map[Key]map[place]item{}
	d.mu.Lock()
	for to, debts := range d.owed {
		for at, b := range debts {
			if now.After(b.until) {
				d.paidLocked(to, at)
				continue
			}
			if plan[to] == nil {
				plan[to] = map[Key]map[place]item{}
			}
			if plan[to][at.key] == nil {
				plan[to][at.key] = map[place]item{}
			}
			it := b.item
			it.expiry = now.Add(tombFor)
			plan[to][at.key][at] = it
		}
	}
	d.mu.Unlock()
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxInFlight)
	for to, byKey := range plan {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var keys []Key
			for key := range byKey {
				keys = append(keys, key)
			}
			if w := d.sendTo(ctx, to, keys, byKey); w.err == nil {
				for _, key := range keys {
					d.confirm(to, byKey[key], nil)
				}
			}
		})
	}
	wg.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.owes
}
