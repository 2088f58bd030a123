package proc

import (
	"io"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/sched"
)

// unheard is a detached process with an arena of its own, whose frames nobody reads.
func unheard(t testing.TB) *Process {
	p := detached(t)
	p.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	a, err := arena.Create(arena.Config{Size: 1 << 20, Entries: 64})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := shm.CreateRingPair(1 << 12)
	if err != nil {
		t.Fatal(err)
	}
	defer shm.CloseFD(fd)
	pair, err := shm.OpenRingPair(fd, 0, new(atomic.Uint32))
	if err != nil {
		t.Fatal(err)
	}
	p.arena, p.node = a, wire.NewLink(pair)
	p.ctx, p.recalled, p.bounds.p = t.Context(), recalled{}, p
	t.Cleanup(func() {
		p.node.Close()
		a.Close()
	})
	return p
}

var sentFunc = &Func{Run: sched.Func{NewExt: newCold}, Result: intType, Export: func(*Future) ([]wire.Arg, []any, error) { return nil, nil, nil }}

// sent is a task of p that is somewhere else, with nobody to bring its result.
func sent(t testing.TB, p *Process) (*Future, id.Task) {
	f := &Future{}
	f.InitCall(sentFunc, nil)
	f.InitExternal(f.Func(), p.root)
	_, s, err := p.specify(f, wire.KindTask, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f, s.Task
}

// FuzzResult gives the owner of a task any bytes for its result: it takes them or refuses them, the task is done where it
// took them, and what came along beyond the limit is refused.
func FuzzResult(f *testing.F) {
	there := id.Addr{Node: "there", Proc: 9}
	ref := codec.Ref{ID: id.Object{1}, Owner: there, Hints: []id.Node{"there"}}
	seven, err := codec.EncodeValue(nil, 7)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range []wire.Result{{By: there, Inline: seven.Bytes()}, {By: there, Inline: []byte("x")}, {By: there, Stored: true, Size: 1 << 60},
		{By: there, Err: &wire.ErrorRecord{Class: wire.ErrorTask, Text: "x"}}, {By: there, Attempt: 9, Items: 3},
		{By: there, Inline: seven.Bytes(), Refs: []codec.Ref{ref, ref}, Further: []wire.Further{{ID: id.Object{2}, Inline: []byte("x"), Refs: []codec.Ref{ref}}, {ID: id.Object{2}}}},
		{By: there, Stored: true, Further: []wire.Further{{ID: id.Object{3}, Stored: true, Nodes: []id.Node{"there", ""}, Again: true}}}} {
		f.Add(wire.Marshal(&r))
	}
	f.Add(wire.Marshal(&wire.Result{By: there, Further: make([]wire.Further, maxFurther+1)}))
	p := unheard(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p.handle((&wire.Frame{Kind: wire.KResult, From: there, To: p.self, Req: 1, Body: b}).Append(nil)) // of a task that nobody knows
		p.handle(b)
		var m wire.Result
		if wire.Unmarshal(b, &m) != nil {
			return
		}
		task, name := sent(t, p)
		m.Task = name
		body := wire.Marshal(&m)
		p.handle((&wire.Frame{Kind: wire.KResult, From: there, To: p.self, Req: 1, Body: body}).Append(nil))
		if good := m.Attempt == 0 && len(m.Further) <= maxFurther; m.Err == nil && good != task.Ready() {
			t.Fatalf("attempt %d with %d further objects, and the task is ready: %v", m.Attempt, len(m.Further), task.Ready())
		}
		task.Fail(ErrCancelled)
	})
}

// FuzzFrame gives a process any frames of any kind that other processes send it about objects.
func FuzzFrame(f *testing.F) {
	there := id.Addr{Node: "there", Proc: 9}
	ids := wire.Marshal(&wire.IDs{IDs: []id.Object{{1}, {2}}})
	for k := range handlers {
		f.Add(uint8(k), ids)
		f.Add(uint8(k), wire.Marshal(&wire.ObjectInfo{ID: id.Object{1}, Holders: []id.Node{"x"}, Size: 10}))
	}
	p := unheard(f)
	quiet := map[wire.Kind]bool{wire.KBorrow: true, wire.KRelease: true, wire.KCopied: true, wire.KDrop: true, wire.KObject: true, wire.KHave: true, wire.KMoved: true}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		if !quiet[wire.Kind(kind)] {
			return // those that start goroutines are the node's to fuzz
		}
		task, name := sent(t, p)
		p.handle((&wire.Frame{Kind: wire.Kind(kind), From: there, To: p.self, Req: 1, Body: body}).Append(nil))
		for _, i := range []id.Object{name.Object(0), {1}} {
			p.handle((&wire.Frame{Kind: wire.Kind(kind), From: there, To: p.self, Req: 1, Body: wire.Marshal(&wire.IDs{IDs: []id.Object{i, i}})}).Append(nil))
		}
		task.Fail(ErrCancelled)
	})
}
