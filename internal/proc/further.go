package proc

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/owner"
	"github.com/kadrehq/kadre/sched"
)

// What a task puts, or fills in place, is an object of the process that runs it. Where somebody else wants the task's
// result, such an object is named as a further result of the task, from firstFurther up in the order of their making,
// and those that the result refers to, directly or by way of one another, go to the result's owner with it: they outlive
// this process, and are made again as the result is. The steps, of which 1 to 3 are here and 4 and 5 are there:
//
//  1. name: a put or a buffer under the task's context takes its name;
//  2. EscapeIn: the result is encoded, and its references name the owner-to-be;
//  3. furtherOf: they go along with the result, and are given: this process counts as one that borrows them;
//  4. takeFurther: the owner's table takes them in, or the reply says that it did not, and they are ours again;
//  5. Within: a reference inside such an object to another of the same task belongs to the owner of what it lies in.

const (
	// firstFurther is the index of the first; results and items of generators have lower ones.
	firstFurther = 1 << 31
	// maxFurther bounds the further objects of a result: so many fit into its message. More stay with who made them.
	maxFurther = 1000
	// maxFurtherInline bounds the bytes of those that lie in Go memory.
	maxFurtherInline = wire.MaxInline
)

// making is what is known of what a task makes beside its result.
type making struct {
	n atomic.Uint32 // names that were taken

	// guarded by Process.mu
	given  []*Future // what goes along with the result, what others refer to first
	inline int       // bytes of them in Go memory
}

// beside is what is known of what a task makes beside its result.
func (in *inbound) beside() *making {
	if m := in.making.Load(); m != nil {
		return m
	}
	in.making.CompareAndSwap(nil, new(making))
	return in.making.Load()
}

// name is the name of an object of its task, and the attempt.
type name struct {
	id      id.Object
	attempt uint32
	handle  bool // it is an actor's handle: small, and wanted without a look into the arena
}

// nameUnder is the name of what is made now under ctx; nil where no task of another process makes it.
func (p *Process) nameUnder(ctx context.Context) *name {
	t := sched.TaskOf(ctx)
	if t == nil || !registered(t.Func()) {
		return nil
	}
	f := futureOf(t)
	in := f.inbound()
	if in == nil || f.Process() != p || f.spec().Kind == wire.KindCreate {
		return nil
	}
	return &name{id: f.spec().Task.Object(firstFurther + in.beside().n.Add(1) - 1), attempt: f.spec().Attempt}
}

// nameUnder gives f, which is about to be done, its name where it has one under ctx.
func (f *Future) nameUnder(p *Process, ctx context.Context) {
	if n := p.nameUnder(ctx); n != nil {
		f.cold().name = n
	}
}

// createUnder is create for an object that is made under ctx.
func (p *Process) createUnder(ctx context.Context, size int64) (*arena.Writer, name, error) {
	if n := p.nameUnder(ctx); n != nil {
		w, err := p.create(ctx, n.id, size, n.attempt)
		if errors.Is(err, arena.ErrExists) && p.replaces(n.id, n.attempt) {
			w, err = p.create(ctx, n.id, size, n.attempt)
		}
		if !errors.Is(err, arena.ErrExists) { // else a later attempt is here already
			return w, *n, err
		}
	}
	n := p.newName()
	w, err := p.create(ctx, n.id, size, 0)
	return w, *n, err
}

// newName is a name that nothing has.
func (p *Process) newName() *name { return &name{id: p.ids.Task().Object(0)} }

// newObject makes the entry of an object of this process.
func (p *Process) newObject(n *name) *object {
	return &object{id: n.id, owner: p.self, attempt: n.attempt}
}

// EscapeIn is Escape for a reference inside the result of r, a task that runs here: what the task has made goes to the
// result's owner.
func (p *Process) EscapeIn(r, f *Future) codec.Ref {
	ref := p.Escape(f)
	in := r.inbound()
	if in == nil || ref.Owner != p.self {
		return ref
	}
	s := r.spec()
	if s.Owner == p.self && ref.ID.Task() != s.Task {
		return ref
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.giveLocked(in.beside(), s.Owner, f) {
		ref.Owner = s.Owner
	}
	return ref
}

// giveLocked has f, and what of its task it refers to, go along with a result; false where it cannot.
func (p *Process) giveLocked(m *making, to id.Addr, f *Future) bool {
	fs, inline := p.closureLocked(m, to, nil, f)
	if fs == nil || len(m.given)+len(fs) > maxFurther || m.inline+inline > maxFurtherInline {
		return slices.Contains(m.given, f)
	}
	m.given = append(m.given, fs...)
	m.inline += inline
	return true
}

// closureLocked appends what f refers to of its own task, and f, to fs; nil where one of them cannot be given. What is
// given already is left out.
func (p *Process) closureLocked(m *making, to id.Addr, fs []*Future, f *Future) (_ []*Future, inline int) {
	o := f.object()
	if o == nil || o.owner != p.self || !o.given.IsZero() || f.fn() != nil || o.err != nil || !o.info.Stored && o.val == nil {
		return nil, 0
	}
	if slices.Contains(m.given, f) || slices.Contains(fs, f) || len(fs) > maxFurther {
		return fs, 0
	}
	for _, k := range o.keeps() {
		kf, ok := k.(*Future)
		if !ok || kf.object() == nil || kf.object().id.Task() != o.id.Task() || kf.object().owner != p.self {
			continue
		}
		if given := kf.object().given; !given.IsZero() {
			if given == to {
				continue
			}
			return nil, 0
		}
		more, n := p.closureLocked(m, to, fs, kf)
		if more == nil && !slices.Contains(m.given, kf) {
			return nil, 0
		}
		fs, inline = more, inline+n
	}
	if !o.info.Stored {
		inline += len(o.val.Data)
	}
	return append(fs, f), inline
}

// keeps are the futures that a value refers to.
func (o *object) keeps() []any {
	if o.val != nil {
		return o.val.Keep
	}
	return o.keep
}

// takeGiven gives what goes along with the result of a task, which forgets it: it shares its memory with other tasks.
func (p *Process) takeGiven(in *inbound) []*Future {
	m := in.making.Load()
	if m == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fs := m.given
	m.given = nil
	return fs
}

// furtherOf describes what goes along with the result of a task to the owner, whose it is from now on.
func (p *Process) furtherOf(fs []*Future, s *wire.Spec) (l []wire.Further) {
	for _, f := range fs {
		o := f.object()
		p.mu.Lock()
		x := wire.Further{ID: o.id, Attempt: o.attempt, Again: o.id.Task() == s.Task}
		if o.info.Stored {
			x.Stored, x.Size, x.Nodes = true, uint64(o.size), []id.Node{p.self.Node}
			if t, ok := p.table.Info(o.id); ok && t.Attempt == o.attempt && len(t.Holders) > 0 {
				x.Size, x.Nodes = t.Size, t.Holders
			}
		} else {
			x.Inline, x.Size = o.val.Data, uint64(len(o.val.Data))
		}
		keeps := o.keeps()
		p.mu.Unlock()
		for _, k := range keeps {
			if kf, ok := k.(*Future); ok {
				x.Refs = append(x.Refs, p.Escape(kf))
			}
		}
		l = append(l, x)
	}
	if s.Owner == p.self {
		return l
	}
	p.mu.Lock()
	for _, f := range fs {
		f.object().given = s.Owner
	}
	p.mu.Unlock()
	return l
}

// publishFurther has the directory know what goes along with a result to another node.
func (p *Process) publishFurther(to id.Addr, r *wire.Result) {
	if to.Node == p.self.Node {
		return
	}
	var ids []id.Object
	for i := range r.Further {
		if x := &r.Further[i]; x.Stored && slices.Contains(x.Nodes, p.self.Node) {
			ids = append(ids, x.ID)
		}
	}
	if len(ids) > 0 {
		p.notify(p.nodeAddr(), wire.KPublish, wire.Marshal(&wire.IDs{IDs: ids, Owner: to}))
	}
}

// tookFurther hears from the owner of a result what it has taken of what went along.
func (p *Process) tookFurther(to id.Addr, r *wire.Result, reply []byte, err error) {
	if len(r.Further) == 0 {
		return
	}
	if err != nil {
		p.notTaken(to, furtherIDs(r))
		return
	}
	var m wire.IDs
	if wire.Unmarshal(reply, &m) == nil {
		p.notTaken(to, m.IDs)
	}
}

func furtherIDs(r *wire.Result) (ids []id.Object) {
	for i := range r.Further {
		ids = append(ids, r.Further[i].ID)
	}
	return ids
}

// notTaken makes objects this process's again that went along with a result in vain.
func (p *Process) notTaken(to id.Addr, ids []id.Object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range ids {
		if o := p.objects[i]; o != nil && o.given == to {
			o.given = id.Addr{}
		}
	}
}

// Within is a reference that was found inside the value of f.
func Within(f *Future, r codec.Ref) codec.Ref {
	if f == nil {
		return r
	}
	if o := f.object(); o != nil && o.id.Index() >= firstFurther && r.ID.Index() >= firstFurther && o.id.Task() == r.ID.Task() {
		r.Owner = o.owner
	}
	return r
}

// takeFurther prepares the table for what comes with an accepted result. after is for when the table has it.
func (p *Process) takeFurther(m *wire.Result) (l []owner.Further, after func() do, todo do) {
	with := map[id.Object]bool{}
	for i := range m.Further {
		with[m.Further[i].ID] = true
	}
	var old []*object
	for i := range m.Further {
		x := &m.Further[i]
		e := owner.Further{ID: x.ID, Attempt: x.Attempt, Stored: x.Stored, Nodes: x.Nodes, Size: x.Size, Again: x.Again}
		if m.By != p.self {
			e.Maker = m.By
		}
		var refs []codec.Ref
		for _, r := range x.Refs {
			if with[r.ID] {
				e.Within = append(e.Within, r.ID)
			} else {
				refs = append(refs, r)
			}
		}
		var more do
		e.Contains, more = p.pinLocked(refs)
		todo = append(todo, more...)
		if o := p.objects[x.ID]; o == nil || o.owner != p.self {
			if o != nil {
				o.replaced = true
				old = append(old, o)
			}
			n := &object{id: x.ID, owner: p.self, attempt: x.Attempt, shared: m.By.Node != p.self.Node}
			n.info.Stored = x.Stored
			if !x.Stored {
				n.val = &Value{Data: slices.Clone(x.Inline)}
			}
			p.objects[x.ID] = n
		}
		l = append(l, e)
	}
	return l, func() do { return p.replaceLocked(old) }, todo
}

// notFurther are the references inside a result of which the table does not know by itself.
func notFurther(m *wire.Result) []codec.Ref {
	if len(m.Further) == 0 {
		return m.Refs
	}
	return slices.DeleteFunc(slices.Clone(m.Refs), func(r codec.Ref) bool {
		return slices.ContainsFunc(m.Further, func(x wire.Further) bool { return x.ID == r.ID })
	})
}

// replaceLocked makes objects that this process borrowed its own.
func (p *Process) replaceLocked(old []*object) (todo do) {
	for _, o := range old {
		n := p.objects[o.id]
		if n == nil {
			continue
		}
		if f := o.fut.Value(); f != nil {
			todo = append(todo, p.enterLocked(f, n)...)
		}
		for range o.pins {
			todo = append(todo, p.stepLocked(owner.Hold{ID: o.id})...)
		}
		was := o.owner
		todo = append(todo, func() { p.notify(was, wire.KRelease, wire.Marshal(&wire.IDs{IDs: []id.Object{o.id}})) })
	}
	return todo
}

// notTakenLocked lists what of a result's further objects the table does not have from it.
func (p *Process) notTakenLocked(m *wire.Result) (ids []id.Object) {
	for i := range m.Further {
		x := &m.Further[i]
		t, ok := p.table.Info(x.ID)
		switch {
		case !ok || t.State != owner.StateReady || t.Attempt != x.Attempt:
		case x.Stored && !slices.ContainsFunc(x.Nodes, func(n id.Node) bool { return slices.Contains(t.Holders, n) }):
		default:
			continue
		}
		ids = append(ids, x.ID)
		if !ok && p.objects[x.ID] != nil && p.objects[x.ID].owner == p.self {
			delete(p.objects, x.ID)
		}
	}
	return ids
}
