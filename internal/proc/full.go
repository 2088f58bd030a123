package proc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/owner"
)

const (
	// fullLimit bounds how long a creator waits for room in the arena while the node makes some that others
	// take. The node gives up much earlier when it can make none.
	fullLimit = time.Minute
	// fullPause is the longest pause between two tries while the node makes room.
	fullPause = 20 * time.Millisecond
	// collectEvery is the least time between two collections for want of room.
	collectEvery = 50 * time.Millisecond
)

// create gets room for an object. Where the arena is full, it has Go's collector look for forgotten references
// and then asks the node to make room, which it does or says what holds the memory.
func (p *Process) create(ctx context.Context, i id.Object, size int64, attempt uint32) (*arena.Writer, error) {
	w, err := p.arena.Create(i, size, p.job, attempt)
	if err == nil || !errors.Is(err, arena.ErrFull) {
		return w, p.outOfMemory(err, size)
	}
	b := p.engine.BlockFor(ctx, fmt.Sprintf("room for %d bytes in the object store of node %s", size, p.self.Node.Short()), true, 0, 0, nil)
	defer b.Resume()
	var (
		end     = time.Now().Add(fullLimit)
		asked   chan error // an answer to come
		refused error
	)
	for pause := time.Millisecond; refused == nil && time.Now().Before(end); pause = min(2*pause, fullPause) {
		if !p.collect() && asked == nil {
			asked = p.askRoom(ctx, size, err)
		}
		select {
		case refused = <-asked:
			asked = nil
		case <-time.After(pause):
		case <-b.Told():
			b.Heed()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		w, err = p.arena.Create(i, size, p.job, attempt)
		if err == nil || !errors.Is(err, arena.ErrFull) {
			return w, p.outOfMemory(err, size)
		}
	}
	if refused != nil {
		return nil, refused
	}
	return nil, p.outOfMemory(err, size)
}

// askRoom asks the node for room that the arena refused with why.
func (p *Process) askRoom(ctx context.Context, size int64, why error) chan error {
	var full *arena.FullError
	r := wire.Room{Size: size, Any: errors.As(why, &full) && full.What != arena.FullBytes}
	left, _ := remaining(ctx)
	ch := make(chan error, 1)
	p.requestWithin(left, p.nodeAddr(), wire.KRoom, wire.Marshal(&r), func(_ []byte, err error) { ch <- replied(err) })
	return ch
}

// outOfMemory turns the arena's refusals into the store's.
func (p *Process) outOfMemory(err error, size int64) error {
	var full *arena.FullError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &full):
		return &OutOfMemoryError{Want: size, Used: full.Total - full.Free, Capacity: full.Total,
			Text: fmt.Sprintf("object store of node %s: others took all room that was made for a minute: %v", p.self.Node.Short(), err)}
	case errors.Is(err, arena.ErrTooLarge):
		return &OutOfMemoryError{Want: size, Capacity: p.arena.Size(),
			Text: fmt.Sprintf("object store of node %s: an object of %d bytes does not fit into its %d bytes: start the node with a larger --object-store-memory, or split the value", p.self.Node.Short(), size, p.arena.Size())}
	}
	return err
}

var lastCollect atomic.Int64

// collect runs Go's collector for want of room; false when it ran within collectEvery.
func (p *Process) collect() bool {
	now := time.Now().UnixNano()
	last := lastCollect.Load()
	if now-last < int64(collectEvery) || !lastCollect.CompareAndSwap(last, now) {
		return false
	}
	runtime.GC()
	return true
}

// onDrop lets a node delete its copy of an object when there is another one.
func (p *Process) onDrop(f *wire.Frame) {
	m, ok := body[wire.Copied](p, f)
	if !ok {
		return
	}
	var r wire.IDs
	p.mu.Lock()
	t, ok := p.table.Info(m.ID)
	var todo do
	if ok && t.Stored && t.Attempt == m.Attempt && m.Node == f.From.Node && slices.ContainsFunc(t.Holders, func(n id.Node) bool { return n != m.Node }) {
		r.IDs = []id.Object{m.ID}
		todo = p.stepLocked(owner.Dropped{ID: m.ID, Node: m.Node})
	}
	p.mu.Unlock()
	todo.run()
	p.reply(f, wire.Marshal(&r))
}

// onDropped takes the news that a node's copy is gone; the object is made again when somebody wants it.
func (p *Process) onDropped(f *wire.Frame) {
	m, ok := body[wire.Copied](p, f)
	if !ok || m.Node != f.From.Node {
		return
	}
	p.mu.Lock()
	var todo do
	if t, ok := p.table.Info(m.ID); ok && t.Attempt == m.Attempt {
		todo = p.stepLocked(owner.Dropped{ID: m.ID, Node: m.Node})
	}
	p.mu.Unlock()
	todo.run()
}
