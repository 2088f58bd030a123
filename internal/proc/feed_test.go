package proc

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/invariant"
	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/sched"
)

// A driver's feed and a worker's intake in one process, stepped by a seed: submissions, ranges, cancels, deaths of the
// worker and the reading of frames in any order.

var feedRuns = flag.Int("feed-runs", 100, "seeded runs of the feed's protocol")

// errand is a call of the function of these tests: it doubles a number.
type errand struct {
	Future
	cold   Cold
	arg    uint64
	starts atomic.Int32 // in the driver's: how often it was started
	v      uint64
}

// errands finds a call by its header, in either process.
var errands sync.Map // *Future to *errand

func errandAt(f *Future) *errand {
	e, _ := errands.Load(f)
	return e.(*errand)
}

var errandType = &Type{
	Plan:   intType.Plan,
	Pack:   func(f *Future, b []byte) ([]byte, bool) { return binary.AppendUvarint(b, errandAt(f).v), true },
	Unpack: func(f *Future, b []byte) error { errandAt(f).v, _ = binary.Uvarint(b); return nil },
	Encode: func(f *Future) (codec.Encoded, error) { return codec.EncodeValue(nil, int(errandAt(f).v)) },
}

var errandFunc *Func

func init() {
	errandFunc = newErrandFunc()
	Register(errandFunc)
}

func newErrandFunc() *Func {
	return &Func{
		Run: sched.Func{Name: "errand", NewExt: newCold, Run: func(t *sched.Task) {
			e := errandAt(futureOf(t))
			given, _ := errandsGiven.Load(e.arg)
			given.(*errand).starts.Add(1)
			if e.v = 2 * e.arg; e.arg%11 == 10 {
				t.Fail(errors.New("eleven"))
				return
			}
			e.SetDone()
		}},
		Result: errandType,
		Opts:   &Options{CPU: -1, MaxRetries: 0},
		Stow:   func(*Future) {},
		Forget: func(*Future) {},
		Pack:   func(f *Future, b []byte) ([]byte, bool) { return binary.AppendUvarint(b, errandAt(f).arg), true },
		Unpacker: func(*Process, id.Addr) func([]byte) (*Future, error) {
			return func(b []byte) (*Future, error) {
				n, _ := binary.Uvarint(b)
				return &newErrand(n).Future, nil
			}
		},
		Export: func(f *Future) ([]wire.Arg, []any, error) { return []wire.Arg{{Value: []byte{1}}}, nil, nil },
	}
}

var errandNum atomic.Uint64

var errandsGiven sync.Map // the argument to the driver's call

func newErrand(arg uint64) *errand {
	e := &errand{arg: arg}
	e.InitCall(errandFunc, &e.cold)
	errands.Store(&e.Future, e)
	return e
}

// alarms counts warnings.
type alarms struct {
	slog.Handler
	n    atomic.Int32
	text atomic.Value
}

func (a *alarms) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		a.n.Add(1)
		a.text.Store(r.Message)
	}
	return nil
}

// fed is a driver with a feed, and its worker.
type fed struct {
	t      *testing.T
	driver *Process
	alarms *alarms
	given  []*errand

	worker *Process
	in     *intake
	links  [2]*wire.Link
	frames [2]map[byte]int // that went to the driver, and to the worker

	node *wire.Link // the node's end
	turn func()     // what the node does in between; may be nil
}

func newFed(t *testing.T) *fed {
	s := &fed{t: t, alarms: &alarms{Handler: slog.NewTextHandler(io.Discard, nil)}, frames: [2]map[byte]int{{}, {}}}
	s.driver = s.process()
	s.driver.feed = newFeed(s.driver)
	s.driver.feed.state = feedAsked
	s.driver.node, s.node = s.pair()
	t.Cleanup(func() {
		s.driver.cancel()
		s.driver.wg.Wait()
		errands.Clear()
		errandsGiven.Clear()
	})
	s.hire()
	return s
}

func (s *fed) process() *Process {
	p := detached(s.t)
	var err error
	if p.arena, err = arena.Create(arena.Config{Size: 1 << 20, Entries: 64}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { p.arena.Close() })
	p.log = slog.New(s.alarms)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	s.t.Cleanup(p.cancel)
	p.root = p.engine.NewRoot(context.Background())
	p.poller = wire.NewPoller(p.arena, func() {})
	p.carry = newCarrier(p)
	p.bounds.p, p.recalled = p, recalled{}
	return p
}

func (s *fed) pair() (a, b *wire.Link) {
	fd, err := shm.CreateRingPair(1 << 16)
	if err != nil {
		s.t.Fatal(err)
	}
	defer shm.CloseFD(fd)
	var ls [2]*wire.Link
	for side := range ls {
		p, err := shm.OpenRingPair(fd, side, new(atomic.Uint32))
		if err != nil {
			s.t.Fatal(err)
		}
		ls[side] = wire.NewLink(p)
		s.t.Cleanup(func() { ls[side].Close() })
	}
	return ls[0], ls[1]
}

// hire gives the driver a worker.
func (s *fed) hire() {
	s.worker = s.process()
	a, b := s.pair()
	s.links = [2]*wire.Link{a, b}
	s.in = &intake{p: s.worker, from: s.driver.self, link: b, ranges: map[uint32]*landing{}}
	d := s.driver.feed
	d.mu.Lock()
	d.state, d.to = feedAsked, s.worker.id
	d.mu.Unlock()
	d.open(s.worker.id, a)
}

// kill ends the worker as its death does, wherever it is.
func (s *fed) kill() {
	s.die()
	s.hire()
}

func (s *fed) addr() id.Addr { return id.Addr{Node: s.driver.self.Node, Proc: s.worker.id} }

func (s *fed) die() { s.driver.addrDead(s.addr(), "the test") }

// adopt has the worker tell the driver to adopt some of its tasks, as it does before it reports a long result.
func (s *fed) adopt(r *rand.Rand) {
	for _, a := range s.arrived() {
		if r.IntN(8) > 0 || !a.answered.CompareAndSwap(false, true) {
			continue
		}
		s.in.mu.Lock()
		s.in.forgetLocked(a)
		s.in.sendLocked(wire.AppendSlot(nil, wire.ShortAdopt, a.call.Slot, a.index))
		s.in.mu.Unlock()
	}
}

// arrived are the tasks that the worker has and did not answer.
func (s *fed) arrived() (as []*arrival) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	fs := slices.Clone(s.in.at)
	for _, l := range s.in.ranges {
		fs = append(fs, l.fs...)
	}
	for _, f := range fs {
		if f != nil {
			as = append(as, f.inbound().short)
		}
	}
	return as
}

func (s *fed) submit(n int) {
	begin := len(s.given)
	for range n {
		e := newErrand(errandNum.Add(1))
		errandsGiven.Store(e.arg, e)
		s.given = append(s.given, e)
		s.driver.Away(s.driver.root, &e.Future, errandFunc.Opts)
	}
	if n == 1 {
		s.driver.feed.add(&s.given[begin].Future)
		return
	}
	mine := s.given[begin:]
	s.driver.SubmitRange(n, func(i int) *Future { return &mine[i].Future })
}

// toWorker has the worker read up to n frames; toDriver the driver.
func (s *fed) toWorker(n int) {
	s.links[1].Pump(func(b []byte) { s.frames[1][b[0]]++; s.in.frame(b) }, n)
}

func (s *fed) toDriver(n int) {
	s.links[0].Pump(func(b []byte) { s.frames[0][b[0]]++; s.driver.fromWorker(b) }, n)
}

func (s *fed) round() { s.worker.carry.round(0, &carried{}) }

// settle goes on until all tasks are done.
func (s *fed) settle() {
	s.t.Helper()
	end := time.Now().Add(time.Minute)
	for left := s.given; ; {
		for len(left) > 0 && left[0].Ready() { // what has ended stays so
			left = left[1:]
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("task %d of %d has no end", len(s.given)-len(left), len(s.given))
		}
		if s.turn != nil {
			s.turn()
		}
		s.toWorker(100)
		s.round()
		s.toDriver(100)
	}
}

// check looks at all tasks: each has one end, was started once at most, and one that gives its value was.
func (s *fed) check() {
	s.t.Helper()
	for _, e := range s.given {
		err, starts := e.Failure(), e.starts.Load()
		var died *WorkerDiedError
		switch {
		case starts > 1:
			s.t.Errorf("task %d was started %d times", e.arg, starts)
		case err == nil && (starts != 1 || e.v != 2*e.arg):
			s.t.Errorf("task %d: %d, started %d times", e.arg, e.v, starts)
		case err != nil && !errors.As(err, &died) && !errors.Is(err, ErrCancelled) && !strings.Contains(err.Error(), "eleven"):
			s.t.Errorf("task %d: %v", e.arg, err)
		}
	}
	if n := s.alarms.n.Load(); n > 0 {
		s.t.Errorf("%d warnings: %v", n, s.alarms.text.Load())
	}
}

// learn has the function run until it is known to be short.
func (s *fed) learn() {
	for end := time.Now().Add(time.Minute); errandFunc.Run.Learned() == 0 || errandFunc.Run.Learned() > carryMost; {
		if time.Now().After(end) {
			s.t.Fatalf("the function is not learned: it takes %v", errandFunc.Run.Learned())
		}
		s.submit(100)
		s.settle()
		s.check()
	}
}

func TestFeedSeeds(t *testing.T) {
	learn := newFed(t)
	learn.learn()
	kills := 0
	for seed := range uint64(*feedRuns) {
		t.Run("", func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			s := newFed(t)
			for range 40 + r.IntN(100) {
				switch k := r.IntN(20); {
				case k < 2:
					s.submit(1)
				case k < 5:
					s.submit(2 + r.IntN(200))
				case k < 7 && len(s.given) > 0:
					s.driver.Cancel(&s.given[r.IntN(len(s.given))].Future, Cancelling{Recursive: r.IntN(2) == 0})
				case k < 8 && len(s.given) > 0:
					s.given[r.IntN(len(s.given))].ID()
				case k < 9 && r.IntN(4) == 0:
					if r.IntN(2) == 0 {
						s.adopt(r)
					}
					s.kill()
					kills++
				case k < 13:
					s.toWorker(1 + r.IntN(8))
				case k < 16:
					s.round()
				default:
					s.toDriver(1 + r.IntN(8))
				}
			}
			s.settle()
			s.check()
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
	}
	t.Logf("%d workers were killed", kills)
}

// TestRangeFrames counts what goes between the processes for a Map: frames, and not one for each task.
func TestRangeFrames(t *testing.T) {
	if invariant.Race {
		t.Skip("under the race detector the function takes long, and tasks that do go a few at a time")
	}
	s := newFed(t)
	const tasks = 50_000
	for range 20 { // a machine with other work may make the function look long: its tasks go a few at a time then
		s.learn()
		s.frames = [2]map[byte]int{{}, {}}
		s.given = nil
		s.submit(tasks)
		s.settle()
		s.check()
		there, back := s.frames[1][wire.ShortRange], s.frames[0][wire.ShortDones]
		t.Logf("%d tasks: %d ranges went, and %d single calls; %d batches of results came", tasks, there, s.frames[1][wire.ShortCall], back)
		if n := s.frames[1][wire.ShortCall] + s.frames[0][wire.ShortDone]; n > 0 {
			t.Fatalf("%d frames are of single tasks", n)
		}
		if max(there, back) <= tasks/8 {
			return
		}
	}
	t.Errorf("there are as many frames as tasks")
}

// TestFeedCloses has the driver close while tasks are out, and then read their results: they are nobody's news.
func TestFeedCloses(t *testing.T) {
	s := newFed(t)
	s.learn()
	s.submit(1)
	s.submit(50)
	s.toWorker(10)
	s.round()
	s.driver.feed.close(ErrClosed)
	s.toDriver(10)
	for _, e := range s.given[len(s.given)-51:] {
		if !errors.Is(e.Failure(), ErrClosed) {
			t.Fatalf("task %d: %v", e.arg, e.Failure())
		}
	}
	if n := s.alarms.n.Load(); n > 0 {
		t.Errorf("%d warnings: %v", n, s.alarms.text.Load())
	}
}
