package proc

import (
	"fmt"
	"runtime"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// ExportArg gives an argument that is a future: its value where that is small and here, else a reference.
func (p *Process) ExportArg(f *Future) (wire.Arg, error) {
	if f.Ready() && f.Failure() == nil && !f.Freed() {
		if f.value() != nil || f.IsSet() {
			data, keep, err := f.encoded()
			if err != nil {
				return wire.Arg{}, err
			}
			if len(data) <= maxArg && len(keep) == 0 && !codec.HoldsRefs(data) {
				return wire.Arg{Value: data}, nil
			}
		}
	}
	r := p.Escape(f)
	return wire.Arg{Ref: &r}, nil
}

// maxArg bounds a plain argument inside a specification; a larger one becomes an object.
const maxArg = 32 << 10

// ExportValue gives an argument that is an encoded value.
func (p *Process) ExportValue(data []byte, keep []any, err error) (wire.Arg, []any, error) {
	if err != nil || len(data) <= maxArg {
		return wire.Arg{Value: data}, keep, err
	}
	f := rawType.New(p)
	n := name{id: p.ids.Task().Object(0)}
	if err := p.putBytes(p.ctx, n.id, data, 0); err != nil {
		return wire.Arg{}, nil, err
	}
	p.own(f, n, uint64(len(data)), keep)
	r := p.Escape(f)
	return wire.Arg{Ref: &r}, []any{f}, nil
}

// onTake gives queued tasks to the node, for another process or node.
func (p *Process) onTake(f *wire.Frame) {
	m, ok := body[wire.Take](p, f)
	if !ok {
		return
	}
	to := f.Head()
	go func() { p.reply(to, wire.Marshal(&wire.Batch{Specs: encodeAll(p.take(m.Max, m.Bytes))})) }()
}

func encodeAll(specs []wire.Spec) [][]byte {
	all := make([][]byte, len(specs))
	for i := range specs {
		all[i] = specs[i].Append(nil)
	}
	return all
}

// take claims queued tasks and writes their specifications.
func (p *Process) take(most, bytes int) (specs []wire.Spec) {
	var back []*sched.Task
	for _, t := range p.engine.Take(most, exportable) {
		if bytes <= 0 {
			back = append(back, t)
			continue
		}
		s, err := p.export(futureOf(t))
		if err != nil {
			t.Fail(err)
			continue
		}
		if bytes < s.Weight() && len(specs) > 0 {
			p.runOne(s) // too much for one batch
			continue
		}
		specs = joined(specs, s, &bytes)
	}
	p.engine.Return(back)
	fed := p.feed.take(most - count(specs))
	for i, f := range fed {
		if bytes < takeLeast {
			p.feed.giveBack(fed[i:])
			break
		}
		s, err := p.export(f)
		if err != nil {
			f.Fail(err)
			continue
		}
		if bytes < s.Weight() {
			p.requeue(s)
			continue
		}
		specs = joined(specs, s, &bytes)
	}
	return specs
}

// takeLeast is how many bytes must be left in a batch for another task.
const takeLeast = 1 << 10

// joined adds a task to those that are taken: to the range that it follows, where there is one. Bytes is the room that is
// left.
func joined(specs []wire.Spec, s wire.Spec, bytes *int) []wire.Spec {
	if n := len(specs); n > 0 && specs[n-1].Join(&s) {
		*bytes -= s.Weight() - wire.HeadWeight
		return specs
	}
	*bytes -= s.Weight()
	return append(specs, s)
}

// count is how many tasks specs are of.
func count(specs []wire.Spec) (n int) {
	for i := range specs {
		n += specs[i].Count()
	}
	return n
}

// exportable says whether t is a task of a registered function, which another process can run, and was not
// placed here.
func exportable(t *sched.Task) bool {
	if !registered(t.Func()) {
		return false
	}
	f := futureOf(t)
	in := f.inbound()
	if in == nil {
		return true
	}
	if in.short != nil { // its owner knows it to be here
		return false
	}
	return f.spec().Kind == wire.KindTask && !f.spec().Placed()
}

// export writes the specification of a task that was claimed for another process.
func (p *Process) export(f *Future) (wire.Spec, error) {
	p.stats.exported.Add(1)
	left, _ := remaining(&f.Task)
	if f.inbound() == nil {
		rec, s, err := p.specify(f, wire.KindTask, left)
		if err != nil {
			return s, err
		}
		p.mu.Lock()
		rec.placed = p.feed != nil
		spec := rec.spec
		p.mu.Unlock()
		if spec == nil {
			return s, fmt.Errorf("kadre: %s ended before it was sent", f.Name())
		}
		f.Leash()
		return s, nil
	}
	args, keep, err := f.fn().Export(f) // it is somebody else's task and travels on
	if err != nil {
		return wire.Spec{}, err
	}
	s := *f.spec()
	s.Args, s.Left = args, left
	s.Hops++
	p.inbox.leave(attempt{s.Task, s.Attempt})
	runtime.KeepAlive(keep) // from here on its owner alone holds what it refers to
	return s, nil
}

// onRequeue takes tasks back that nobody else runs.
func (p *Process) onRequeue(f *wire.Frame) {
	m, ok := body[wire.Batch](p, f)
	if !ok {
		return
	}
	for _, b := range m.Specs {
		s, err := wire.ParseSpec(b)
		if err != nil {
			p.log.Warn("kadre: bad task specification", "err", err)
			continue
		}
		for i := range s.Count() {
			one := s.Piece(i)
			if s.Owner == p.self && !p.cfg.Isolate {
				p.moved(one.Task, s.Attempt, 2*s.Hops+1, p.self)
			}
			p.requeue(one)
		}
	}
}

// requeue starts a task of this process again that was to run elsewhere.
func (p *Process) requeue(s wire.Spec) {
	if p.feed == nil {
		p.runOne(s)
		return
	}
	p.mu.Lock()
	o := p.objects[s.Task.Object(0)]
	var rec *record
	if o != nil {
		rec = o.rec
	}
	p.mu.Unlock()
	if rec != nil {
		p.askPlace(rec)
	}
}
