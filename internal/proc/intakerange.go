package proc

import (
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	// batchBytes is how many bytes of results wait for others at most.
	batchBytes = 8 << 10
	// batchTime is about how long a result waits for those of the tasks behind it.
	batchTime = 50 * time.Microsecond
	// batchMost is how many wait.
	batchMost = 256
)

// landing is a range that has come. Its tasks start one by one. Results of those that are carried wait for others in a
// batch, which goes when it is long, or the carrier has nothing else to run or is held up; all other results go at once.
type landing struct {
	fs   []*Future // nil: it is answered
	left int
}

// batch is results of one range that wait.
type batch struct {
	b    []byte // a ShortDones
	slot uint32
	n    int
}

// tasks makes tasks of a range. Like task it leaves them to start when the frame's room has been given back.
func (in *intake) tasks(b []byte) error {
	p := in.p
	c, rest, err := wire.ParseRange(b)
	if err != nil {
		return err
	}
	if int(c.Func) >= len(in.funcs) {
		return errorf("kadre: a range of function %d, and %d have names", c.Func, len(in.funcs))
	}
	var pieces [][]byte
	for len(rest) > 0 {
		var args []byte
		if args, rest, err = wire.ParsePiece(rest); err != nil {
			return err
		}
		if len(pieces) == wire.MaxRange {
			return errorf("kadre: a range of more than %d tasks: %w", wire.MaxRange, wire.ErrLimit)
		}
		pieces = append(pieces, args)
	}
	p.stats.imported.Add(int64(len(pieces)))
	l := &landing{fs: make([]*Future, len(pieces)), left: len(pieces)}
	as := make([]arrival, len(pieces))
	refused := map[int]error{}
	for i, args := range pieces {
		a := &as[i]
		a.in, a.call, a.short, a.index = in, c, a, i
		a.call.Num += uint64(i)
		f, err := in.funcs[c.Func](args)
		if err != nil {
			refused[i] = err
			continue
		}
		f.cold().in = &a.inbound
		p.markName(f, id.TaskOf(in.from.Proc, a.call.Num))
		l.fs[i] = f
		p.carry.came(f)
	}
	in.mu.Lock()
	in.ranges[c.Slot] = l
	for i, err := range refused {
		e := wire.Ended{Error: true}
		in.pieceLocked(&as[i], &e, p.record(&UnschedulableError{Text: err.Error()}, in.names[c.Func]).Append(nil))
	}
	in.flushLocked()
	in.mu.Unlock()
	return nil
}

// findLocked is the task of a slot, or of a piece of the range there; nil where it is answered.
func (in *intake) findLocked(slot uint32, index int) *Future {
	if index == wire.Alone {
		if int(slot) < len(in.at) {
			return in.at[slot]
		}
		return nil
	}
	if l := in.ranges[slot]; l != nil && index < len(l.fs) {
		return l.fs[index]
	}
	return nil
}

// forgetLocked empties the place of a task that is answered.
func (in *intake) forgetLocked(a *arrival) {
	slot := a.call.Slot
	if a.index == wire.Alone {
		if int(slot) < len(in.at) {
			in.at[slot] = nil
		}
		return
	}
	l := in.ranges[slot]
	l.fs[a.index] = nil
	if l.left--; l.left == 0 {
		delete(in.ranges, slot)
	}
}

// pieceOutcome is outcome of a piece of a range whose result, if it has one, is small.
func (in *intake) pieceOutcome(f *Future, a *arrival) {
	e := wire.Ended{Named: a.named.Load()}
	d := f.Func().Learned()
	if d > carryMost || in.n.Add(1)%tellTook == 1 {
		e.Took = d
	}
	var failed []byte
	if err := f.Failure(); err != nil {
		e.Error, e.Took = true, 0
		failed = in.p.record(f.explain(err), f.Name()).Append(nil)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	b := in.buf[:0]
	switch {
	case e.Error:
		b = failed
	case f.IsSet():
		var ok bool
		if b, ok = f.Type().Pack(f, b); ok && len(b) <= wire.MaxShortArgs {
			e.Bare = true
			break
		}
		enc, err := f.Type().Encode(f)
		if err != nil || enc.Len() > wire.MaxShortArgs {
			go in.adopt(f)
			return
		}
		b = append(append(b[:0], enc.Head...), enc.Body...)
	default:
		b = f.value().Data
	}
	in.pieceLocked(a, &e, b)
	if !a.carried || in.batch.n >= min(batchMost, int(batchTime/max(1, d))) {
		in.flushLocked()
	}
}

// pieceLocked adds a result to the batch.
func (in *intake) pieceLocked(a *arrival, e *wire.Ended, result []byte) {
	if in.batch.n > 0 && (in.batch.slot != a.call.Slot || len(in.batch.b)+len(result) > batchBytes) {
		in.flushLocked()
	}
	if in.batch.n == 0 {
		in.batch.slot = a.call.Slot
		in.batch.b = wire.AppendDones(in.batch.b[:0], a.call.Slot)
	}
	in.forgetLocked(a)
	in.batch.b = e.AppendPiece(in.batch.b, uint32(a.index), result)
	in.batch.n++
}

// flush sends the results that wait.
func (in *intake) flush() {
	in.mu.Lock()
	in.flushLocked()
	in.mu.Unlock()
}

func (in *intake) flushLocked() {
	if in.batch.n == 0 {
		return
	}
	in.batch.n = 0
	if err := in.link.Send(in.batch.b); err != nil {
		in.p.log.Debug("kadre: results were not sent", "err", err) // the driver is gone
	}
}
