package proc

import (
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// fuzzedRun is a function of one argument, of which a test sees the calls that were made of specifications.
var fuzzedRun = func() *Func {
	f := &Func{Run: sched.Func{Name: "fuzzed run", NewExt: newCold, Run: func(t *sched.Task) { futureOf(t).SetDone() }}, Result: intType}
	f.Import = func(p *Process, args []wire.Arg) (*Future, []*Future, error) {
		c := &Future{}
		c.InitCall(f, nil)
		var deps []*Future
		for _, a := range args {
			if a.Ref != nil {
				deps = append(deps, p.ImportArg(a.Ref))
			}
		}
		imported = append(imported, c)
		return c, deps, nil
	}
	Register(f)
	return f
}()

var imported []*Future

// FuzzRun gives a process any bytes for the specification of a task or a call: it refuses them, or there is one task, which
// ends.
func FuzzRun(f *testing.F) {
	there := id.Addr{Node: "there", Proc: 9}
	ref := codec.Ref{ID: id.Object{1}, Owner: there, Hints: []id.Node{"there"}}
	name := fuzzedRun.Run.Name
	for _, s := range []wire.Spec{{Kind: wire.KindTask, Func: name}, {Kind: wire.KindTask, Func: "no such function"}, {Kind: wire.KindTask, Func: name, Args: []wire.Arg{{Ref: &ref}, {Value: []byte("x")}}},
		{Kind: wire.KindTask, Func: name, CPU: 1 << 30, Left: time.Nanosecond}, {Kind: wire.KindTask, Func: name, Bound: wire.Bound{At: there, Num: 3}, Line: []id.Task{{7}}, Left: time.Hour},
		{Kind: wire.KindCall, Func: name, Actor: id.Actor{1}, Seq: 1}, {Kind: wire.KindCreate, Func: name, Actor: id.Actor{1}}} {
		s.Owner, s.Task = there, id.TaskOf(there.Proc, 1)
		f.Add(s.Append(nil))
	}
	p := unheard(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		imported = nil
		p.handle((&wire.Frame{Kind: wire.KRun, From: there, To: p.self, Body: b}).Append(nil))
		s, err := wire.ParseSpec(b)
		if err != nil || s.Func != name {
			if len(imported) != 0 {
				t.Fatalf("%d tasks of what names none", len(imported))
			}
			return
		}
		if len(imported) != 1 {
			t.Fatalf("%d tasks of one specification", len(imported))
		}
		task := imported[0]
		if s.Kind != wire.KindCall { // there is no actor: its caller has been told
			task.Fail(ErrCancelled) // or it has run
			if err := p.Await(t.Context(), task); err != nil && !task.Ready() {
				t.Fatal(err)
			}
		}
	})
}
