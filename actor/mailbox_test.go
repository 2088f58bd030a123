package actor

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/sched"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func engine(t testing.TB, slots int) *sched.Engine {
	e := sched.New(sched.Config{Slots: slots})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return e
}

var method = &sched.Func{Name: "method"}

func newCall() *sched.Task {
	t := new(sched.Task)
	t.InitExternal(method, context.Background())
	return t
}

func push(t testing.TB, m *Mailbox, run func()) *sched.Task {
	t.Helper()
	c := newCall()
	if err := m.Push(c, func(c *sched.Task) { run(); c.Finish() }); err != nil {
		t.Fatal(err)
	}
	return c
}

func await(t testing.TB, e *sched.Engine, c *sched.Task) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := e.Await(ctx, c)
	if !c.Ready() {
		t.Fatal("the call never ended")
	}
	return err
}

func TestOneAtATimeInOrder(t *testing.T) {
	e := engine(t, 4)
	const actors, pushers, calls = 3, 8, 500
	var wg sync.WaitGroup
	for range actors {
		m := NewMailbox(e)
		var (
			inside atomic.Int32
			last   [pushers]int // as the actor's state: no lock
		)
		for p := range pushers {
			wg.Go(func() {
				var ts []*sched.Task
				for i := 1; i <= calls; i++ {
					c := push(t, m, func() {
						if inside.Add(1) != 1 {
							t.Error("two calls run at a time")
						}
						if last[p] != i-1 {
							t.Errorf("pusher %d: call %d ran after %d", p, i, last[p])
						}
						last[p] = i
						inside.Add(-1)
					})
					if i%7 == p && m.Assist(nil, c) && !c.Ready() {
						t.Error("Assist said ready")
					}
					ts = append(ts, c)
				}
				for _, c := range ts {
					if err := await(t, e, c); err != nil {
						t.Error(err)
					}
				}
			})
		}
		t.Cleanup(func() {
			if m.Len() != 0 {
				t.Error(m.Len(), "calls left")
			}
		})
	}
	wg.Wait()
}

func TestAssistRunsOnTheGetter(t *testing.T) {
	e := engine(t, 1)
	m := NewMailbox(e)
	hold := make(chan struct{})
	first := push(t, m, func() { <-hold })
	for m.Len() > 0 { // until an executor has it
		runtime.Gosched()
	}
	second := push(t, m, func() {})
	if m.Assist(nil, second) {
		t.Fatal("ready while the first runs")
	}
	close(hold)
	if await(t, e, first) != nil || await(t, e, second) != nil {
		t.Fatal("failed")
	}

	// With the engine closed nobody else could run it.
	closed := sched.New(sched.Config{Slots: 1})
	m = NewMailbox(closed)
	m.mu.Lock()
	m.drainer = new(sched.Task) // as if one were queued and slow to start
	m.mu.Unlock()
	n := 0
	a, b, c := push(t, m, func() { n++ }), push(t, m, func() { n++ }), push(t, m, func() { n++ })
	if !m.Assist(nil, b) || n != 2 || !a.Ready() || c.Ready() {
		t.Fatal("Assist went not exactly up to its call:", n)
	}
	if !m.Assist(nil, c) || n != 3 || !m.Assist(nil, c) {
		t.Fatal("not ready")
	}
	if m.Assist(nil, newCall()) {
		t.Fatal("a call of nobody is ready")
	}
	if err := closed.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestReadyCallsArePassedOver(t *testing.T) {
	e := engine(t, 1)
	m := NewMailbox(e)
	hold := make(chan struct{})
	first := push(t, m, func() { <-hold })
	ran := false
	second := push(t, m, func() { ran = true })
	second.Fail(sched.ErrCancelled)
	third := push(t, m, func() {})
	close(hold)
	await(t, e, first)
	await(t, e, third)
	if ran {
		t.Fatal("a cancelled call ran")
	}
}

func TestPanicAndGoexit(t *testing.T) {
	e := engine(t, 2)
	m := NewMailbox(e)
	bad := push(t, m, func() { panic("oh") })
	gone := push(t, m, func() { runtime.Goexit() })
	good := push(t, m, func() {})
	var p *sched.PanicError
	if err := await(t, e, bad); !errors.As(err, &p) || p.Value != "oh" || len(p.Stack) == 0 {
		t.Fatal(err)
	}
	if err := await(t, e, gone); !errors.Is(err, sched.ErrGoexit) {
		t.Fatal(err)
	}
	if err := await(t, e, good); err != nil {
		t.Fatal(err)
	}
	// Goexit on a getter ends the getter, not the mailbox.
	m.mu.Lock()
	m.drainer = new(sched.Task)
	m.mu.Unlock()
	gone = push(t, m, func() { runtime.Goexit() })
	good = push(t, m, func() {})
	m.mu.Lock()
	m.drainer = nil
	m.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Assist(nil, gone)
		t.Error("Goexit returned")
	}()
	<-ended
	if err := await(t, e, good); err != nil {
		t.Fatal(err)
	}
}

func TestClose(t *testing.T) {
	e := engine(t, 1)
	m := NewMailbox(e)
	why := errors.New("killed")
	hold, entered := make(chan struct{}), make(chan struct{})
	running := push(t, m, func() { close(entered); <-hold })
	<-entered
	waiting := push(t, m, func() { t.Error("ran after Close") })
	m.Close(why)
	m.Close(errors.New("again"))
	for c, ran := range map[*sched.Task]bool{running: true, waiting: false} {
		var died *DiedError
		if err := await(t, e, c); !errors.As(err, &died) || died.MayHaveRun != ran || !errors.Is(err, why) {
			t.Fatal(err)
		}
	}
	if !m.Abandoned() || m.Len() != 0 {
		t.Fatal("the running call is not counted")
	}
	var died *DiedError
	if err := m.Push(newCall(), func(*sched.Task) {}); !errors.As(err, &died) || died.MayHaveRun {
		t.Fatal(err)
	}
	close(hold)
	for end := time.Now().Add(5 * time.Second); m.Abandoned(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("still counted after it returned")
		}
	}
}

func TestClosedEngineFailsCalls(t *testing.T) {
	e := sched.New(sched.Config{Slots: 1})
	if err := e.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	m := NewMailbox(e)
	for range 2 {
		c := push(t, m, func() { t.Error("ran") })
		if err := await(t, e, c); !errors.Is(err, sched.ErrClosed) {
			t.Fatal(err)
		}
	}
}

func TestQueue(t *testing.T) {
	var q queue
	in, out := 0, 0
	tasks := make([]sched.Task, 5000)
	for i := range 5000 {
		q.push(call{t: &tasks[in]})
		in++
		if i%3 != 0 || i > 4000 {
			c, ok := q.pop()
			if !ok || c.t != &tasks[out] {
				t.Fatal("out of order at", out)
			}
			out++
		}
		if q.len() != in-out {
			t.Fatal(q.len(), in, out)
		}
	}
	if n := len(q.take()); n != in-out || q.len() != 0 {
		t.Fatal(n, "taken")
	}
	if _, ok := q.pop(); ok {
		t.Fatal("popped from nothing")
	}
}

func BenchmarkAsk(b *testing.B) {
	e := engine(b, 2)
	m := NewMailbox(e)
	b.ReportAllocs()
	for b.Loop() {
		c := push(b, m, func() {})
		m.Assist(nil, c)
		if err := e.Await(context.Background(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTell(b *testing.B) {
	e := engine(b, 2)
	m := NewMailbox(e)
	b.ReportAllocs()
	var last *sched.Task
	for b.Loop() {
		last = push(b, m, func() {})
	}
	await(b, e, last)
}
