package proc

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

func TestLinesEnd(t *testing.T) {
	p := detached(t)
	name := wire.Bound{At: id.Addr{Node: "n", Proc: 3}, Num: 4}
	a, b, c := id.Task{1}, id.Task{2}, id.Task{3}
	one := p.lines.root(p.root, wire.Bound{}, []id.Task{a, b})
	if p.lines.root(p.root, wire.Bound{}, []id.Task{a, b}) != one {
		t.Error("a line has two roots")
	}
	other, bounded := p.lines.root(p.root, wire.Bound{}, []id.Task{a, c}), p.lines.root(p.root, name, []id.Task{a, b})
	if other == one || bounded == one {
		t.Error("two lines have one root")
	}
	p.lines.ended([]id.Task{b})
	if one.Err() == nil || bounded.Err() == nil || other.Err() != nil {
		t.Error(one.Err(), bounded.Err(), other.Err())
	}
	if p.lines.root(p.root, wire.Bound{}, []id.Task{b, c}).Err() == nil {
		t.Error("what comes late of an ended line starts")
	}
	runtime.KeepAlive(other)
	one, other, bounded = nil, nil, nil
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		runtime.GC()
		p.lines.mu.Lock()
		n := len(p.lines.all)
		p.lines.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal(n, "lines of nobody are kept")
		}
	}
	for i := range 2 * maxRecent {
		p.lines.ended([]id.Task{{9, byte(i), byte(i >> 8)}})
	}
	if n := len(p.lines.over.at); n != maxRecent || p.lines.over.has(b) || !slices.ContainsFunc([]id.Task{c, {9, 255, 7}}, p.lines.over.has) {
		t.Error(n, "ended lines are remembered")
	}
}

func TestLongLine(t *testing.T) {
	p := detached(t)
	var ids []id.Task
	for i := range wire.MaxLine {
		ids = append(ids, id.Task{byte(i)})
	}
	r := p.lines.root(p.root, wire.Bound{}, ids)
	f := newRaw(p)
	f.InitExternal(f.Func(), r)
	if got := p.lineOf(&f.Task); !slices.Equal(got, ids) {
		t.Error(got)
	}
	more := slices.Concat(ids, []id.Task{{100}, {101}, {102}})
	if got := shortened(more); len(got) != wire.MaxLine || got[0] != ids[0] || got[wire.MaxLine-1] != (id.Task{102}) {
		t.Error(got)
	}
	f.Finish()
}
