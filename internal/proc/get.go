package proc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/kadrehq/kadre/actor"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/owner"
	"github.com/kadrehq/kadre/sched"
)

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// Name is the registered name of the function that f runs.
func (f *Future) Name() string {
	if fn := f.fn(); fn != nil {
		return fn.Run.Name
	}
	return ""
}

// explain turns an error of the engine into one for users.
func (f *Future) explain(err error) error {
	var p *sched.PanicError
	var d *actor.DiedError
	switch {
	case errors.As(err, &p) || errors.Is(err, sched.ErrGoexit):
		var where func(uintptr) (id.Object, bool)
		if p := f.Process(); p != nil {
			where = p.arena.ObjectAt
		}
		return panicked(f.Name(), err, where)
	case errors.Is(err, sched.ErrBusy) || errors.Is(err, actor.ErrFull):
		return fmt.Errorf("%w (%v)", ErrBusy, err)
	case errors.As(err, &d):
		dead := &ActorDiedError{Why: d.Why.Error(), MayRan: d.MayHaveRun}
		if a := f.on(); a != nil {
			dead.Actor = a.id
		}
		return dead
	}
	return err
}

// Await returns nil once f has a result, its failure, or ctx.Err().
func (p *Process) Await(ctx context.Context, f *Future) error {
	if f.look() != nil && !f.Ready() {
		p.Demand(f)
		p.assist(ctx, f)
	}
	if err := p.engine.Await(ctx, &f.Task); err != nil {
		return f.explain(err)
	}
	return nil
}

// RunAll runs those of n futures that nobody has started on the calling goroutine where Await would, and does not wait. What it gives is
// what sched.Engine.RunAll does.
func (p *Process) RunAll(ctx context.Context, n int, at func(int) *Future) (left int, through bool) {
	return p.engine.RunAll(ctx, n, func(i int) *sched.Task {
		f := at(i)
		if f.look() != nil && !f.Ready() {
			p.assist(ctx, f)
		}
		return &f.Task
	})
}

// assistLimit is the learned run time up to which a getter that may have to leave runs an actor's calls.
const assistLimit = 50 * time.Microsecond

// assist runs the calls on an actor of this process up to f, for a getter that would wait for ever, or whose
// context is not about to end.
func (p *Process) assist(ctx context.Context, f *Future) {
	a := f.on()
	if a == nil || f.Func().Exits() {
		return
	}
	if ctx.Done() != nil {
		d := f.Func().Learned()
		end, ok := ctx.Deadline()
		if d == 0 || d > assistLimit || a.box.Len() > 1 || ok && time.Until(end) < 100*d {
			return
		}
	}
	a.box.Assist(sched.TaskOf(ctx), &f.Task)
}

// FailureOf is the error of a future that is done, as users see it; nil when it has a result.
func (p *Process) FailureOf(f *Future) error {
	if err := f.Failure(); err != nil {
		return f.explain(err)
	}
	return nil
}

// WaitN returns once n of fs are done or ctx ends.
func (p *Process) WaitN(ctx context.Context, fs []*Future, n int) error {
	ts := make([]*sched.Task, len(fs))
	for i, f := range fs {
		p.Demand(f)
		ts[i] = &f.Task
	}
	return p.engine.WaitN(ctx, ts, n)
}

// Demand asks the owner of a borrowed object for its outcome, once.
func (p *Process) Demand(f *Future) {
	o := f.object()
	if o == nil || f.Ready() || f.fn() != nil {
		return
	}
	p.mu.Lock()
	if o.asking {
		p.mu.Unlock()
		return
	}
	o.asking = true
	p.mu.Unlock()
	p.ask(o, func(info *wire.ObjectInfo) { p.learn(f, o, info) })
}

// ask calls told with what the owner of o says once the object is ready, failed or lost; where the owner is
// gone, with what records say.
func (p *Process) ask(o *object, told func(*wire.ObjectInfo)) {
	if o.owner == p.self {
		p.mu.Lock()
		own := p.objects[o.id]
		if own == nil {
			p.mu.Unlock()
			told(lostInfo(o.id, p.self, "its owner has freed it"))
			return
		}
		if to := own.given; !to.IsZero() {
			p.mu.Unlock()
			p.askAt(to, o, told)
			return
		}
		own.waiters = append(own.waiters, told)
		todo := p.stepLocked(owner.Want{ID: o.id})
		p.mu.Unlock()
		todo.run()
		return
	}
	p.askAt(o.owner, o, told)
}

func (p *Process) askAt(to id.Addr, o *object, told func(*wire.ObjectInfo)) {
	p.request(to, wire.KObject, wire.Marshal(&wire.IDs{IDs: []id.Object{o.id}}), func(body []byte, err error) {
		var info wire.ObjectInfo
		if err == nil {
			err = wire.Unmarshal(body, &info)
		}
		if err != nil {
			p.locate(o, err, told)
			return
		}
		told(&info)
	})
}

// locate looks for the copies of an object whose owner does not answer.
func (p *Process) locate(o *object, why error, told func(*wire.ObjectInfo)) {
	q := wire.ObjectInfo{ID: o.id, Owner: o.owner}
	p.request(p.nodeAddr(), wire.KLocate, wire.Marshal(&q), func(body []byte, err error) {
		var info wire.ObjectInfo
		if err == nil {
			err = wire.Unmarshal(body, &info)
		}
		if err == nil && len(info.Holders) == 0 && len(o.info.Holders) > 0 && !p.dropHints {
			info = o.info
		}
		if err != nil || len(info.Holders) == 0 {
			told(lostInfo(o.id, o.owner, fmt.Sprintf("its owner %s is gone (%v) and no record names a copy", o.owner, why)))
			return
		}
		info.ID, info.Owner, info.State, info.Stored = o.id, o.owner, wire.ObjectReady, true
		told(&info)
	})
}

// learn ends a future with what the object's owner said.
func (p *Process) learn(f *Future, o *object, info *wire.ObjectInfo) {
	switch {
	case info.Err != nil:
		f.Fail(failure(info.Err))
	case info.Stored:
		p.mu.Lock()
		o.info = *info
		p.mu.Unlock()
		f.Finish()
	default:
		data := append([]byte{}, info.Inline...)
		p.noteInside(o, data)
		p.fill(f, data)
	}
}

// fill ends a future with an encoded value.
func (p *Process) fill(f *Future, data []byte) {
	if f.Type().Plan != nil && (f.Type().Plan.Immediate() || f.Type().Plan.Flat()) {
		if !f.Settle() {
			return
		}
		if err := f.Type().Set(f, data); err != nil {
			f.Fail(err)
			return
		}
		f.SetDone()
		return
	}
	if f.Settle() {
		f.SetValue(&Value{Data: data})
	}
}

// Read calls decode with the encoded value of a future that is done. The bytes are valid during the call;
// references inside them stay held. It waits, while ctx lasts, for bytes that are elsewhere or have to be
// made again.
func (p *Process) Read(ctx context.Context, f *Future, decode func(data []byte) error) error {
	if f.value() != nil || f.IsSet() {
		if f.Freed() {
			return failure(lostInfo(f.ID(), p.self, "it was freed").Err)
		}
		data, _, err := f.encoded()
		if err != nil {
			return err
		}
		return decode(data)
	}
	h, err := p.fetch(ctx, f)
	if err != nil {
		return err
	}
	defer h.Release()
	defer runtime.KeepAlive(f)
	return decode(h.Bytes())
}

const (
	// fetchTries bounds how often a stored object is looked for again after a failed transfer.
	fetchTries = 20
	// fetchTrust is how many of these believe what the owner's table says of holders.
	fetchTrust = 5
	// fetchPause is the longest pause between two tries.
	fetchPause = 500 * time.Millisecond
)

// fetch gives a stored object's bytes in the node's arena.
func (p *Process) fetch(ctx context.Context, f *Future) (*arena.Hold, error) {
	o := f.object()
	if o == nil {
		return nil, fmt.Errorf("kadre: internal: object without bytes")
	}
	if h, ok := p.arena.GetAt(&o.id); ok {
		return h, nil
	}
	defer p.Block(ctx)()
	var last error
	for try := range fetchTries {
		info, err := p.where(ctx, o, try > 0)
		if lost := (*ObjectLostError)(nil); last != nil && errors.As(err, &lost) {
			return nil, &ObjectLostError{Object: o.id, Why: fmt.Sprintf("%s (%v)", lost.Why, last)}
		}
		if err != nil {
			return nil, err
		}
		if !info.Stored {
			return nil, fmt.Errorf("kadre: internal: object %s changed its kind", o.id)
		}
		last = p.pull(ctx, info)
		came := last == nil
		if came {
			if h, ok := p.arena.GetAt(&o.id); ok {
				return h, nil
			}
			last = errors.New("it was freed or moved out again while it was read")
		} else if full := (*OutOfMemoryError)(nil); errors.As(last, &full) {
			return nil, last // the node has waited for room; the copies are as good as they were
		} else if p.over.Load() {
			return nil, ErrClosed
		}
		if try >= fetchTrust && o.owner == p.self && !came {
			p.dropCopies(o.id, info.Holders)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(min(fetchPause, time.Millisecond<<try)):
		}
	}
	return nil, &ObjectLostError{Object: o.id, Why: fmt.Sprintf("none of its holders could be read after %d tries (its owner is %s): %v", fetchTries, o.owner, last)}
}

// dropCopies has the table forget copies that could not be read, so that the object is made again.
func (p *Process) dropCopies(i id.Object, holders []id.Node) {
	p.mu.Lock()
	var todo do
	for _, n := range holders {
		todo = append(todo, p.stepLocked(owner.Dropped{ID: i, Node: n})...)
	}
	p.mu.Unlock()
	todo.run()
}

// where gives the holders of a stored object, from the owner when what is known may be old.
func (p *Process) where(ctx context.Context, o *object, again bool) (*wire.ObjectInfo, error) {
	if !again && o.owner != p.self {
		p.mu.Lock()
		info := o.info
		p.mu.Unlock()
		if len(info.Holders) > 0 {
			info.Stored = true
			return &info, nil
		}
	}
	ch := make(chan *wire.ObjectInfo, 1)
	p.ask(o, func(i *wire.ObjectInfo) {
		c := *i
		ch <- &c
	})
	select {
	case info := <-ch:
		if info.Err != nil {
			return nil, failure(info.Err)
		}
		p.mu.Lock()
		o.info = *info
		p.mu.Unlock()
		return info, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pull has the node bring the bytes into its arena.
func (p *Process) pull(ctx context.Context, info *wire.ObjectInfo) error {
	q := *info
	q.Inline = nil
	ch := make(chan error, 1)
	left, _ := remaining(ctx)
	p.requestWithin(left, p.nodeAddr(), wire.KPull, wire.Marshal(&q), func(_ []byte, err error) { ch <- err })
	select {
	case err := <-ch:
		return replied(err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Block gives back the CPU slot of the task whose context ctx is, until the function it returns is called.
func (p *Process) Block(ctx context.Context) func() { return p.engine.Block(ctx) }

// onObject answers what this process, as owner, knows of an object, once there is something to say.
func (p *Process) onObject(f *wire.Frame) {
	m, ok := body[wire.IDs](p, f)
	if !ok || len(m.IDs) != 1 {
		return
	}
	to := f.Head()
	p.ask(&object{id: m.IDs[0], owner: p.self}, func(info *wire.ObjectInfo) { p.reply(to, wire.Marshal(info)) })
}

func (p *Process) onBorrow(f *wire.Frame) {
	if m, ok := body[wire.IDs](p, f); ok {
		p.mu.Lock()
		var todo do
		for _, i := range m.IDs {
			todo = append(todo, p.stepLocked(owner.Borrow{ID: i, Addr: f.From})...)
			todo = append(todo, p.shareLocked(i, f.From.Node)...)
		}
		p.mu.Unlock()
		todo.run()
		p.reply(f, nil)
	}
}

// shareLocked publishes where a stored object is, once another node refers to it.
func (p *Process) shareLocked(i id.Object, n id.Node) do {
	o := p.objects[i]
	if o == nil || o.shared || n == p.self.Node {
		return nil
	}
	o.shared = true
	if t, ok := p.table.Info(i); !ok || !t.Stored {
		return nil
	}
	return do{func() { p.notify(p.nodeAddr(), wire.KPublish, wire.Marshal(&wire.IDs{IDs: []id.Object{i}})) }}
}

func (p *Process) onRelease(f *wire.Frame) {
	if m, ok := body[wire.IDs](p, f); ok {
		p.mu.Lock()
		var todo do
		for _, i := range m.IDs {
			todo = append(todo, p.stepLocked(owner.Release{ID: i, Addr: f.From})...)
		}
		p.mu.Unlock()
		todo.run()
	}
}

func (p *Process) onCopied(f *wire.Frame) {
	if m, ok := body[wire.Copied](p, f); ok {
		p.mu.Lock()
		if o := p.objects[m.ID]; o != nil {
			o.shared = true
			if to := o.given; !to.IsZero() {
				defer p.notify(to, wire.KCopied, append([]byte{}, f.Body...))
			}
		}
		todo := p.stepLocked(owner.Copied{ID: m.ID, Attempt: m.Attempt, Node: m.Node})
		p.mu.Unlock()
		todo.run()
	}
}
