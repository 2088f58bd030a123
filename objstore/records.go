package objstore

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/directory"
)

// Limits and times of records.
const (
	maxRecords   = 1 << 19          // that one node keeps alive; more are shed, their owners still know the copies
	maxBatch     = 1024             // records in one write
	maxTries     = 4                // of one write
	recordFor    = 10 * time.Minute // a node that died is named for so long
	refreshEvery = 4 * time.Minute
	writeFor     = 5 * time.Second
	againAfter   = 250 * time.Millisecond // after the first failed try, doubled with each
	closeFor     = time.Second            // for the deletes at the end
)

// live is a record that this node keeps alive.
type live struct {
	rec     directory.Record
	job     id.Job
	attempt uint32
}

// op is what is to be written of one object: the last word counts.
type op struct {
	rec    directory.Record
	delete bool
	tries  int
}

// records writes and deletes records in the background.
type records struct {
	cfg  *Config
	kick chan struct{}
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex
	live map[id.Object]live
	ops  map[id.Object]op
	shed uint64
}

func newRecords(cfg *Config) *records {
	r := &records{cfg: cfg, kick: make(chan struct{}, 1), live: map[id.Object]live{}, ops: map[id.Object]op{}}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.wg.Go(r.loop)
	return r
}

func (r *records) count() (int, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.live), r.shed
}

func (r *records) add(o id.Object, l live) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, ok := r.live[o]
	switch {
	case ok && old.attempt == l.attempt:
		return // it says the same, perhaps with the hash
	case !ok && len(r.live) >= maxRecords, len(r.ops) >= maxRecords:
		r.shed++
		return
	}
	r.live[o] = l
	r.ops[o] = op{rec: l.rec}
	r.wake()
}

func (r *records) drop(o id.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropLocked(o)
}

func (r *records) dropLocked(o id.Object) {
	if l, ok := r.live[o]; ok {
		delete(r.live, o)
		r.ops[o] = op{rec: l.rec, delete: true}
		r.wake()
	}
}

func (r *records) dropIf(match func(live) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for o, l := range r.live {
		if match(l) {
			r.dropLocked(o)
		}
	}
}

func (r *records) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// loop writes what there is to write, until close.
func (r *records) loop() {
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	again := time.NewTimer(refreshEvery)
	defer again.Stop()
	waiting := false // after a failed try: new words wait too
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-refresh.C:
			r.refresh()
		case <-again.C:
			waiting = false
		case <-r.kick:
		}
		if waiting {
			continue
		}
		if failed := r.flush(r.ctx); failed > 0 {
			waiting = true
			again.Reset(againAfter << failed)
		}
	}
}

// refresh writes every record once more. Those of objects that are gone are deleted.
func (r *records) refresh() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for o, l := range r.live {
		if !r.cfg.has(o) {
			r.dropLocked(o)
		} else if _, ok := r.ops[o]; !ok {
			r.ops[o] = op{rec: l.rec}
		}
	}
}

// flush writes what waits, in batches. What failed waits again; flush says how often at least one of them has.
func (r *records) flush(ctx context.Context) (failed int) {
	again := map[id.Object]op{}
	for {
		batch := r.take()
		if len(batch) == 0 {
			break
		}
		err := r.write(ctx, batch)
		if err == nil {
			continue
		}
		r.cfg.Logger.Debug("objstore: records were not written", "records", len(batch), "err", err)
		for o, p := range batch {
			if p.tries++; p.tries < maxTries {
				again[o] = p
				failed = max(failed, p.tries)
			}
		}
	}
	r.mu.Lock()
	maps.Copy(again, r.ops) // newer words
	r.ops = again
	r.mu.Unlock()
	return failed
}

// take takes puts or deletes, not both.
func (r *records) take() map[id.Object]op {
	r.mu.Lock()
	defer r.mu.Unlock()
	batch := map[id.Object]op{}
	var kind bool
	for o, p := range r.ops {
		if len(batch) == 0 {
			kind = p.delete
		}
		if p.delete == kind {
			batch[o] = p
			delete(r.ops, o)
		}
		if len(batch) == maxBatch {
			break
		}
	}
	return batch
}

func (r *records) write(ctx context.Context, batch map[id.Object]op) error {
	ctx, cancel := context.WithTimeout(ctx, writeFor)
	defer cancel()
	var puts, deletes []directory.Record
	until := time.Now().Add(recordFor)
	for _, p := range batch {
		if p.delete {
			deletes = append(deletes, p.rec)
			continue
		}
		p.rec.Expiry = until
		puts = append(puts, p.rec)
	}
	if len(puts) > 0 {
		return r.cfg.Directory.Put(ctx, puts)
	}
	return r.cfg.Directory.Delete(ctx, deletes)
}

// close ends the loop and deletes what is left, as far as that goes in a moment.
func (r *records) close() {
	r.stop()
	r.wg.Wait()
	r.dropIf(func(live) bool { return true })
	ctx, cancel := context.WithTimeout(context.Background(), closeFor)
	defer cancel()
	r.flush(ctx)
}
