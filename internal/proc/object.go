package proc

import (
	"errors"
	"runtime"
	"time"
	"weak"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/owner"
)

// object is the entry that a future gets when its reference leaves the process, or when it came from
// another one. The table owns the entry; the entry knows its future weakly, so that Go's collector says
// when no reference is left.
type object struct {
	// constant
	id      id.Object
	owner   id.Addr
	attempt uint32 // own: of the task that made it beside its result
	apart   bool   // own: another entry stands for the name, this is a value that a later attempt made for it

	// guarded by Process.mu
	fut      weak.Pointer[Future]
	pins     int                      // values in this process that contain a reference to it
	val      *Value                   // own: the value, where it is in Go memory
	err      *wire.ErrorRecord        // own: the failure
	keep     []any                    // own and stored: what the value refers to
	info     wire.ObjectInfo          // where it is stored
	waiters  []func(*wire.ObjectInfo) // to be told once it is ready, failed or lost
	rec      *record                  // own: its task, where that left the process
	size     int64                    // own and stored here: bytes that Go's collector decides about
	shared   bool                     // own: another node refers to it
	asking   bool                     // borrowed: the owner was asked
	given    id.Addr                  // own: whose it is since it went along with a result
	replaced bool                     // another entry stands for it: this one's end is nobody's business
}

// do is a list of things to be done without Process.mu.
type do []func()

func (d do) run() {
	for _, f := range d {
		f()
	}
}

// identify gives f its entry as an object of this process.
func (p *Process) identify(f *Future) *object { return p.identifyAs(f, 0) }

// identifyAs is identify for a task whose number is known already, to the process that has it.
func (p *Process) identifyAs(f *Future, num uint64) *object {
	if o := f.object(); o != nil {
		return o
	}
	p.mu.Lock()
	if o := f.object(); o != nil {
		p.mu.Unlock()
		return o
	}
	given, release := p.feed.number(f)
	if num == 0 {
		num = given
	}
	n := f.cold().name
	switch {
	case num != 0:
		n = &name{id: id.TaskOf(p.id, num).Object(0)}
	case n == nil:
		n = p.newName()
	}
	o := p.newObject(n)
	todo := p.madeLocked(f, o)
	release()
	p.mu.Unlock()
	todo.run()
	f.OnDone(func() { p.settled(f, o) })
	return o
}

// madeLocked starts the record of an own object. It can be made again once it has a specification, or came with a result.
func (p *Process) madeLocked(f *Future, o *object) do {
	if p.objects[o.id] != nil {
		o.apart = true
		f.cold().obj.Store(o)
		return nil
	}
	todo := p.stepLocked(owner.Made{ID: o.id, Attempt: o.attempt})
	return append(todo, p.enterLocked(f, o)...)
}

// enterLocked binds a future and its entry.
func (p *Process) enterLocked(f *Future, o *object) (todo do) {
	o.fut = weak.Make(f)
	p.objects[o.id] = o
	f.cold().obj.Store(o)
	runtime.AddCleanup(f, func(o *object) { p.collected(o) }, o)
	if o.owner == p.self {
		todo = p.stepLocked(owner.Hold{ID: o.id})
	}
	return todo
}

// collected is the end of a future: no reference to it is left in this process.
func (p *Process) collected(o *object) {
	p.mu.Lock()
	if p.closed != nil || o.replaced {
		p.mu.Unlock()
		return
	}
	var todo do
	if o.owner == p.self {
		todo = p.stepLocked(owner.Unhold{ID: o.id})
	} else if o.pins == 0 {
		todo = p.forgetBorrowedLocked(o)
	}
	p.mu.Unlock()
	todo.run()
}

func (p *Process) forgetBorrowedLocked(o *object) do {
	if p.objects[o.id] == o {
		delete(p.objects, o.id)
	}
	p.let.goLocked(o.id)
	return do{func() { p.notify(o.owner, wire.KRelease, wire.Marshal(&wire.IDs{IDs: []id.Object{o.id}})) }}
}

// settled tells the table how a task ended that ran in this process and was not exported.
func (p *Process) settled(f *Future, o *object) {
	c := f.cold()
	if c.stored != 0 {
		return // it has been told
	}
	err := f.Failure()
	var (
		data []byte
		keep []any
	)
	if err == nil && f.Freed() {
		p.sealed(f, o, nil, nil, false, failure(lostInfo(o.id, p.self, "it was freed").Err))
		return
	}
	if err == nil && f.fn() == nil && (c.name == nil || !c.name.handle) {
		p.settledPut(f, o)
		return
	}
	if err == nil && (f.IsSet() || c.val != nil) {
		data, keep, err = f.encoded()
	}
	if err != nil || len(data) <= wire.MaxInline {
		p.sealed(f, o, data, keep, false, err)
		return
	}
	go func() { // too large for a message: others read it in the arena
		err := p.putBytes(p.ctx, o.id, data, 0)
		p.sealed(f, o, data, keep, true, err)
	}()
}

// settledPut is settled for a value that was put: any process of the node is to read it in the arena, also
// when this one has ended. Where the arena is full the value stays here.
func (p *Process) settledPut(f *Future, o *object) {
	data, keep, err := f.encoded()
	if err != nil {
		p.sealed(f, o, nil, nil, false, err)
		return
	}
	w, err := p.arena.Create(o.id, int64(len(data)), p.job, o.attempt)
	if errors.Is(err, arena.ErrExists) && p.replaces(o.id, o.attempt) {
		w, err = p.arena.Create(o.id, int64(len(data)), p.job, o.attempt)
	}
	if err == nil {
		copy(w.Bytes(), data)
		_, err = w.Seal(false)
	}
	p.sealed(f, o, data, keep, err == nil, nil)
}

// sealed ends settled.
func (p *Process) sealed(f *Future, o *object, data []byte, keep []any, stored bool, err error) {
	p.mu.Lock()
	if o.rec != nil || o.val != nil || o.err != nil || o.info.Stored || p.closed != nil {
		p.mu.Unlock()
		return // it has been told
	}
	var ev owner.Event
	switch {
	case err != nil:
		o.err = p.record(f.explain(err), f.Name())
		ev = owner.Failed{ID: o.id, Attempt: o.attempt}
	case !stored:
		o.val = &Value{Data: data, Keep: keep}
		ev = owner.Sealed{ID: o.id, Attempt: o.attempt, Size: uint64(len(data))}
	default:
		o.info.Stored, o.keep, o.size = true, keep, int64(len(data))
		ev = owner.Sealed{ID: o.id, Attempt: o.attempt, Stored: true, Node: p.self.Node, Size: uint64(len(data))}
	}
	var todo do
	if !o.apart {
		todo = p.stepLocked(ev)
	}
	p.mu.Unlock()
	todo.run()
	if stored && !o.apart {
		p.grew(int64(len(data)))
	}
}

// stepLocked gives the table an event and turns its actions into things to be done without the lock.
func (p *Process) stepLocked(ev owner.Event) (todo do) {
	for _, a := range p.table.Step(ev, 0) {
		switch a := a.(type) {
		case owner.Ready:
			todo = append(todo, p.readyLocked(a.ID)...)
		case owner.Lost:
			todo = append(todo, p.lostLocked(a.ID, a.Why)...)
		case owner.Remake:
			todo = append(todo, p.remakeLocked(a.ID, a.Attempt)...)
		case owner.Free:
			todo = append(todo, p.freeLocked(a.ID, a.Attempt, a.Nodes)...)
		case owner.Refuse:
			todo = append(todo, func() { p.free(a.ID, a.Attempt, []id.Node{a.Node}, true) })
		case owner.ReleaseContained:
			todo = append(todo, p.unpinLocked(a.IDs)...)
		case owner.GiveUp:
			if o := p.objects[a.ID]; o != nil && o.rec != nil {
				o.rec.spec, o.rec.keep, o.rec.remake = nil, nil, nil
			}
		case owner.Forget:
			todo = append(todo, p.forgetLocked(a.ID)...)
		}
	}
	return todo
}

// readyLocked answers who waited.
func (p *Process) readyLocked(i id.Object) do {
	o := p.objects[i]
	if o == nil || len(o.waiters) == 0 {
		return nil
	}
	ws := o.waiters
	o.waiters = nil
	info := p.infoLocked(o)
	return do{func() {
		for _, w := range ws {
			w(info)
		}
	}}
}

func (p *Process) lostLocked(i id.Object, why owner.Loss) do {
	o := p.objects[i]
	if o == nil {
		return nil
	}
	ws := o.waiters
	o.waiters = nil
	info := lostInfo(i, p.self, why.Of(i))
	f := o.fut.Value()
	return do{func() {
		for _, w := range ws {
			w(info)
		}
		if f != nil {
			f.Fail(failure(info.Err))
		}
	}}
}

func lostInfo(i id.Object, owner id.Addr, why string) *wire.ObjectInfo {
	return &wire.ObjectInfo{ID: i, Owner: owner, State: wire.ObjectLost,
		Err: &wire.ErrorRecord{Class: wire.ErrorObjectLost, Text: why, Object: i}}
}

// infoLocked says what the owner knows of an own object.
func (p *Process) infoLocked(o *object) *wire.ObjectInfo {
	t, ok := p.table.Info(o.id)
	if !ok {
		return lostInfo(o.id, p.self, "its owner has freed it")
	}
	info := &wire.ObjectInfo{ID: o.id, Owner: p.self, Attempt: t.Attempt, Size: t.Size, Hash: t.Hash, Job: p.job}
	switch {
	case o.err != nil:
		info.State, info.Err = wire.ObjectFailed, o.err
	case t.State == owner.StatePending:
		info.State = wire.ObjectPending
	case t.State == owner.StateLost:
		return lostInfo(o.id, p.self, t.Loss.Of(o.id))
	case t.Stored:
		info.State, info.Stored, info.Holders = wire.ObjectReady, true, t.Holders
	case o.val != nil:
		info.State, info.Inline = wire.ObjectReady, o.val.Data
	default:
		return lostInfo(o.id, p.self, "its owner has freed it")
	}
	return info
}

// freeLocked deletes copies that nobody refers to.
func (p *Process) freeLocked(i id.Object, attempt uint32, nodes []id.Node) do {
	o := p.objects[i]
	shared := o == nil || o.shared || o.rec != nil
	if o != nil {
		o.info.Stored = false
		o.keep = nil
		p.pace.held.Add(-o.size)
		o.size = 0
		if !o.given.IsZero() {
			return nil // forgetLocked tells its owner
		}
	}
	return do{func() { p.free(i, attempt, nodes, shared) }}
}

// free deletes the copies of an attempt; shared says that nodes know of the object.
func (p *Process) free(i id.Object, attempt uint32, nodes []id.Node, shared bool) {
	if !shared && len(nodes) == 1 && nodes[0] == p.self.Node && p.arena.Delete(i) && !p.arena.Files() {
		return // else it is in a file, or was
	}
	p.notify(p.nodeAddr(), wire.KFree, wire.Marshal(&wire.Free{IDs: []id.Object{i}, Attempts: []uint32{attempt}, Nodes: nodes}))
}

// forgetLocked drops the entry of an own object. An actor stays: like a goroutine it does not end because
// nobody can name it any more.
func (p *Process) forgetLocked(i id.Object) do {
	o := p.objects[i]
	if o == nil {
		return nil
	}
	delete(p.objects, i)
	o.rec, o.val, o.keep = nil, nil, nil
	if o.given.IsZero() {
		return nil
	}
	to := o.given
	return do{func() { p.notify(to, wire.KRelease, wire.Marshal(&wire.IDs{IDs: []id.Object{i}})) }}
}

// pinLocked notes that a value in this process contains references: their objects stay known here.
func (p *Process) pinLocked(refs []codec.Ref) (ids []id.Object, todo do) {
	for i := range refs {
		o := p.objects[refs[i].ID]
		if refs[i].Owner == p.self || o != nil && o.owner == p.self {
			if o == nil {
				continue // freed: whoever reads the value is told
			}
			todo = append(todo, p.stepLocked(owner.Hold{ID: o.id})...)
		} else {
			if o == nil {
				o = &object{id: refs[i].ID, owner: refs[i].Owner, info: hinted(&refs[i])}
				p.objects[o.id] = o
				todo = append(todo, p.registerLocked(o))
			}
			o.pins++
		}
		ids = append(ids, o.id)
	}
	return ids, todo
}

func (p *Process) unpinLocked(ids []id.Object) (todo do) {
	for _, i := range ids {
		o := p.objects[i]
		switch {
		case o == nil:
		case o.owner == p.self:
			todo = append(todo, p.stepLocked(owner.Unhold{ID: i})...)
		default:
			if o.pins--; o.pins == 0 && o.fut.Value() == nil {
				todo = append(todo, p.forgetBorrowedLocked(o)...)
			}
		}
	}
	return todo
}

func hinted(r *codec.Ref) wire.ObjectInfo {
	return wire.ObjectInfo{ID: r.ID, Owner: r.Owner, Size: r.Size, Hash: r.Hash, Attempt: r.Attempt, Holders: r.Hints}
}

// Escape gives what a reference to f carries.
func (p *Process) Escape(f *Future) codec.Ref {
	o := p.identify(f)
	r := codec.Ref{ID: o.id, Owner: o.owner, Attempt: o.attempt}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !o.given.IsZero() {
		r.Owner = o.given
	}
	if p.dropHints {
		return r
	}
	if o.owner == p.self {
		if t, ok := p.table.Info(o.id); ok && t.Stored {
			r.Size, r.Hash, r.Attempt, r.Hints = t.Size, t.Hash, t.Attempt, t.Holders
		}
	} else {
		r.Size, r.Hash, r.Attempt, r.Hints = o.info.Size, o.info.Hash, o.info.Attempt, o.info.Holders
	}
	r.Hints = r.Hints[:min(len(r.Hints), codec.MaxHints)]
	return r
}

// EscapeAs is Escape for the value of one attempt.
func (p *Process) EscapeAs(f *Future, attempt uint32) codec.Ref {
	r := p.Escape(f)
	r.Attempt = attempt
	return r
}

// Borrow gives the future of a reference that came from outside. The same reference gives the same future
// as long as it is in use.
func (p *Process) Borrow(r codec.Ref, t *Type) *Future {
	p.mu.Lock()
	o := p.objects[r.ID]
	if o != nil {
		if f := o.fut.Value(); f != nil {
			p.mu.Unlock()
			if f.Type() != t {
				return p.newFailed(t, &TaskError{Cause: errorf("kadre: object %s is a %v here, not a %v", r.ID, nameOf(f.Type().Plan.Type()), nameOf(t.Plan.Type()))})
			}
			return f
		}
	}
	f := t.New(p)
	var todo do
	switch {
	case r.Owner == p.self && o == nil:
		p.mu.Unlock()
		return p.newFailed(t, failure(lostInfo(r.ID, p.self, "its owner has freed it").Err))
	case r.Owner == p.self || o != nil && o.owner == p.self: // nobody here referred to it, but others did
		todo = p.enterLocked(f, o)
		o.waiters = append(o.waiters, func(info *wire.ObjectInfo) { p.learn(f, o, info) })
		todo = append(todo, p.stepLocked(owner.Want{ID: o.id})...)
	default:
		n := &object{id: r.ID, owner: r.Owner, info: hinted(&r)}
		if o != nil { // its future is gone, and its cleanup may not have run yet
			o.replaced = true
			n.pins, n.info = o.pins, o.info
		}
		todo = p.enterLocked(f, n)
		todo = append(todo, p.registerLocked(n))
	}
	p.mu.Unlock()
	todo.run()
	return f
}

func (p *Process) newFailed(t *Type, err error) *Future {
	f := t.New(p)
	f.Fail(err)
	return f
}

// ImportArg gives the future of an argument whose value this process needs for one task. The submitter
// holds the object meanwhile, so that its owner need not be told.
func (p *Process) ImportArg(r *codec.Ref) *Future {
	p.mu.Lock()
	if o := p.objects[r.ID]; o != nil {
		if f := o.fut.Value(); f != nil {
			p.mu.Unlock()
			p.Demand(f)
			return f
		}
	}
	f := rawType.New(p)
	o := &object{id: r.ID, owner: r.Owner, info: hinted(r), fut: weak.Make(f), replaced: true}
	f.cold().obj.Store(o)
	p.mu.Unlock()
	p.Demand(f)
	return f
}

// rawType is the type of futures whose values stay encoded.
var rawType = &Type{}

func init() { rawType.New = newRaw }

// borrowing is a registration with an owner under way, and what waits for it.
type borrowing struct {
	owner id.Addr
	after []*barrier
}

// barrier runs a function after a number of registrations.
type barrier struct {
	n int
	f func()
}

// registerLocked tells an object's owner that this process refers to it.
func (p *Process) registerLocked(o *object) func() {
	b := &borrowing{owner: o.owner}
	p.asks[b] = struct{}{}
	p.borrows.Add(1)
	return func() {
		p.request(o.owner, wire.KBorrow, wire.Marshal(&wire.IDs{IDs: []id.Object{o.id}}), func([]byte, error) { p.registered(b) })
	}
}

// registered ends a registration, or an attempt at one with an owner that is gone.
func (p *Process) registered(b *borrowing) {
	p.mu.Lock()
	delete(p.asks, b)
	p.borrows.Add(-1)
	var fs do
	for _, r := range b.after {
		if r.n--; r.n == 0 {
			fs = append(fs, r.f)
		}
	}
	p.mu.Unlock()
	fs.run()
}

// afterBorrows runs f once all owners know of the references that came so far. Whoever gave them to us
// holds them until then.
func (p *Process) afterBorrows(f func()) { p.afterBorrowsBut(id.Addr{}, f) }

// afterBorrowsBut is afterBorrows where one owner hears of what f does after what it was told before.
func (p *Process) afterBorrowsBut(owner id.Addr, f func()) {
	r := &barrier{f: f}
	p.mu.Lock()
	for b := range p.asks {
		if owner.IsZero() || b.owner != owner {
			b.after = append(b.after, r)
			r.n++
		}
	}
	wait := r.n > 0
	p.mu.Unlock()
	if !wait {
		f()
	}
}

// deadKept is how long an address counts as dead for messages that speak of it late.
const deadKept = 10 * time.Second
