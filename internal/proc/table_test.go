package proc

import (
	"runtime"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/objstore/owner"
	"github.com/kadrehq/kadre/sched"
)

// detached is a process without a node, for what only its table does.
func detached(t testing.TB) *Process {
	me := id.NewProc()
	p := &Process{id: me, self: id.Addr{Node: "here", Proc: me}, ids: id.NewSource(me), table: owner.NewTable(),
		objects: map[id.Object]*object{}, dead: map[id.Addr]time.Time{}, asks: map[*borrowing]struct{}{},
		sessions: map[*session]struct{}{}, links: map[id.Proc]*sibling{}}
	p.outbox.p, p.lines.p = p, p
	p.engine = sched.New(sched.Config{Slots: 1, User: p})
	t.Cleanup(func() { p.engine.Close(t.Context()) })
	p.root = p.engine.NewRoot(t.Context())
	p.waits.init(p, maxUnfinished, maxUnfinishedSpec)
	return p
}

var intType = func() *Type {
	pl, err := codec.PlanOf[int]()
	if err != nil {
		panic(err)
	}
	t := &Type{Plan: pl, Set: func(*Future, []byte) error { return nil },
		Encode: func(*Future) (codec.Encoded, error) { return codec.EncodeValue(nil, 7) }}
	t.New = func(p *Process) *Future { return newOf(p, t) }
	return t
}()

func newOf(p *Process, t *Type) *Future {
	f := &Future{}
	f.Init(p, t, nil)
	return f
}

var intFunc = &Func{Run: sched.Func{NewExt: newCold}, Result: intType}

// done is a task of this process that has a result.
func done(p *Process) *Future {
	f := &Future{}
	f.InitCall(intFunc, nil)
	f.InitExternal(f.Func(), p.root)
	f.SetDone()
	return f
}

// until collects garbage until cond holds.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for range 500 {
		if cond() {
			return
		}
		runtime.GC()
		runtime.Gosched()
	}
	t.Fatal(what)
}

func (p *Process) tableLen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.table.Len() + len(p.objects)
}

func TestFutureCostsNothingUntilItEscapes(t *testing.T) {
	p := detached(t)
	f := done(p)
	if p.tableLen() != 0 {
		t.Fatal("it has an entry")
	}
	r := p.Escape(f)
	if p.tableLen() != 2 || r.Owner != p.self || r.ID != f.ID() {
		t.Fatal("it has no entry after it escaped", r)
	}
	if g := p.Borrow(r, intType); g != f {
		t.Error("decoding its reference gives another future")
	}
	runtime.KeepAlive(f)
	f = nil
	until(t, "the entry of a collected future stays", func() bool { return p.tableLen() == 0 })
}

func TestBorrowerKeepsObject(t *testing.T) {
	p := detached(t)
	other := id.Addr{Node: "there", Proc: 9}
	r := p.Escape(done(p))
	p.mu.Lock()
	p.stepLocked(owner.Borrow{ID: r.ID, Addr: other}).run()
	p.mu.Unlock()
	until(t, "the cleanup never ran", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		i, _ := p.table.Info(r.ID)
		return i.Local == 0
	})
	f := p.Borrow(r, intType) // the reference comes home
	if !f.Ready() {
		t.Error("its value is not there any more")
	}
	if f.Type() != intType || p.Borrow(r, intType) != f {
		t.Error("one object, two futures")
	}
	runtime.KeepAlive(f)
	p.addrDead(other, "killed")
	f = nil
	until(t, "a dead borrower keeps the object", func() bool { return p.tableLen() == 0 })
}

func TestBorrowOfAnotherType(t *testing.T) {
	p := detached(t)
	f := done(p)
	str := &Type{Plan: must(codec.PlanOf[string]())}
	str.New = func(p *Process) *Future { return newOf(p, str) }
	g := p.Borrow(p.Escape(f), str)
	if g == f || g.Failure() == nil {
		t.Error("a future of int was given as one of string")
	}
	runtime.KeepAlive(f)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestFreedReferenceFails(t *testing.T) {
	p := detached(t)
	f := p.Borrow(codec.Ref{ID: id.Object{1}, Owner: p.self}, intType)
	var lost *ObjectLostError
	if !asLost(f.Failure(), &lost) {
		t.Errorf("%v", f.Failure())
	}
}

func asLost(err error, to **ObjectLostError) bool {
	e, ok := err.(*ObjectLostError)
	*to = e
	return ok
}

func TestBarrier(t *testing.T) {
	p := detached(t)
	ran := 0
	p.afterBorrows(func() { ran++ })
	if ran != 1 {
		t.Fatal("nothing to wait for, and it waited")
	}
	p.mu.Lock()
	a, b := &borrowing{}, &borrowing{}
	p.asks[a], p.asks[b] = struct{}{}, struct{}{}
	p.mu.Unlock()
	p.afterBorrows(func() { ran++ })
	p.registered(a)
	if ran != 1 {
		t.Fatal("it did not wait for the second registration")
	}
	p.registered(b)
	if ran != 2 {
		t.Fatal("it still waits")
	}
}
