package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/shm"
)

const (
	callsPerSample  = 20_000
	streamPerSample = 300_000
	ringWindow      = 64
	ringMessage     = 128 // bytes
	parkedRounds    = 50
	parkedPause     = 5 * time.Millisecond
	busyRounds      = 200
	busyFor         = 2 * time.Second // what the CPU-bound tasks run at most; a sample ends before
	idleFor         = time.Second
	largeObjects    = 64
	largeBytes      = 1 << 20
)

// process has the rows of tasks that run in a worker process of the driver's node.
func process() []Scenario {
	row := func(s Scenario) Scenario {
		s.Bench, s.Better = "process", Lower
		if s.Samples == 0 {
			s.Samples = 9
		}
		if s.N == 0 {
			s.N = 1
		}
		s.Work += "; driver, node and worker are three processes"
		return s
	}
	stream := row(Scenario{
		Name: "worker-stream", Unit: perSecond, N: streamPerSample, Allocs: true,
		Work:    "submits 300,000 no-op tasks of an int, then gets all results; tasks in a second",
		RefName: "messages of 128 bytes there and back over the bare ring, 64 out at a time, between the same two processes",
		Setup:   withWorker(func(w *worked) (*Run, error) { return &Run{Ours: w.stream, Ref: w.bare(ringWindow)}, nil }),
	})
	stream.Better = Higher
	return []Scenario{
		row(Scenario{
			Name: "worker-call", Unit: nanoseconds, N: callsPerSample, Allocs: true,
			Work:    "submits a no-op task of an int and gets its result, one after the other; a sample is the median of one call",
			RefName: "the bare ring: a message of 128 bytes there and back between the same two processes, both spinning",
			Setup:   withWorker(func(w *worked) (*Run, error) { return &Run{Ours: w.call, Ref: w.bare(1)}, nil }),
		}),
		row(Scenario{
			Name: "worker-call-parked", Unit: microseconds,
			Work:    "the same after 5 ms in which both processes have nothing to do; a sample is the median of 50",
			RefName: "two bare futex wakes, there and back, between the same two processes",
			Setup:   withWorker(func(w *worked) (*Run, error) { return &Run{Ours: w.parked, Ref: w.futex}, nil }),
		}),
		row(Scenario{
			Name: "worker-call-busy", Unit: microseconds, Samples: 7,
			Work:    "the same while the worker runs as many CPU-bound tasks as it has CPUs; a sample is the median of 200",
			RefName: "the bare ring under the same load, which spins for a moment and parks",
			Setup:   withWorker(func(w *worked) (*Run, error) { return &Run{Ours: w.busy(w.callsOf), Ref: w.busy(w.echoesOf)}, nil }),
		}),
		stream,
		row(Scenario{
			Name: "worker-ref-1m", Unit: nanoseconds,
			Work:    "calls with a reference to one of 64 arrays of 1 MiB, fresh in each sample and each used once; the task reads the first, the last and 16 random bytes and returns their sum; a sample is the median of one call",
			RefName: "worker-call: a no-op task",
			Setup:   withWorker(func(w *worked) (*Run, error) { return &Run{Ours: w.large, Ref: w.call64}, nil }),
		}),
		row(Scenario{
			Name: "idle", Unit: "% of a core", Samples: 5,
			Work:  "CPU time of the node's and the worker's process, one second in which neither has anything to do",
			Setup: withWorker(func(w *worked) (*Run, error) { return &Run{Ours: w.idle}, nil }),
		}),
	}
}

var (
	noop     = api.Func1(func(_ context.Context, x int) (int, error) { return x, nil }, api.RegisterAs("bench.noop"))
	workerID = api.Func0(func(context.Context) (int, error) { return os.Getpid(), nil }, api.RegisterAs("bench.workerID"))
	burn     = api.Func1(burnUntil, api.RegisterAs("bench.burn"))
	echoBack = api.Func1(echoRing, api.RegisterAs("bench.echo"), api.NumCPUs(0))
	wakeBack = api.Func1(wakeFutex, api.RegisterAs("bench.wakeBack"), api.NumCPUs(0))
	sumBytes = api.Func1(sumSome, api.RegisterAs("bench.sumBytes"))
)

// worked is this process, a driver whose tasks all run in one worker process of its node.
type worked struct {
	ctx       context.Context
	node, pid int // of the node and the worker
	cpus      int
}

// withWorker sets a row up on a node and a worker in processes of their own.
func withWorker(setup func(*worked) (*Run, error)) func(context.Context) (*Run, error) {
	return withApart(func(ctx context.Context, n *apart) (*Run, error) {
		os.Setenv(isolateEnv, "1")
		rt, err := attachTo(ctx, n.socket)
		os.Unsetenv(isolateEnv)
		if err != nil {
			return nil, err
		}
		n.ends = append(n.ends, rt.Close)
		w := &worked{ctx: rt.With(ctx), node: n.pid, cpus: runtime.NumCPU()}
		if w.pid, err = workerID.Remote(w.ctx).Get(w.ctx); err != nil {
			return nil, err
		}
		if w.pid == os.Getpid() {
			return nil, errors.New("the task ran in the driver")
		}
		return setup(w)
	})
}

const isolateEnv = "KADRE_ISOLATE"

// callsOf times n calls of a no-op, one after the other.
func (w *worked) callsOf(n int, pause time.Duration) ([]float64, error) {
	took := make([]float64, n)
	for i := range took {
		if pause > 0 {
			<-time.After(pause)
		}
		begin := time.Now()
		v, err := noop.Remote(w.ctx, i).Get(w.ctx)
		took[i] = float64(time.Since(begin))
		if err != nil || v != i {
			return nil, fmt.Errorf("call %d gave %d: %w", i, v, err)
		}
	}
	return took, nil
}

func (w *worked) call(_ context.Context, n int) (float64, error) {
	took, err := w.callsOf(n, 0)
	return Median(took), err
}

func (w *worked) call64(_ context.Context, _ int) (float64, error) {
	took, err := w.callsOf(largeObjects, 0)
	return Median(took), err
}

func (w *worked) parked(_ context.Context, _ int) (float64, error) {
	took, err := w.callsOf(parkedRounds, parkedPause)
	return Median(took) / 1e3, err
}

func (w *worked) stream(_ context.Context, n int) (float64, error) {
	refs := make([]api.Ref[int], n)
	begin := time.Now()
	for i := range refs {
		refs[i] = noop.Remote(w.ctx, i)
	}
	vs, err := api.GetAll(w.ctx, refs)
	took := time.Since(begin)
	if err != nil {
		return 0, err
	}
	for i, v := range vs {
		if v != i {
			return 0, fmt.Errorf("task %d gave %d", i, v)
		}
	}
	return float64(n) / took.Seconds(), nil
}

// busy does calls while the worker's CPUs are taken.
func (w *worked) busy(calls func(n int, pause time.Duration) ([]float64, error)) Side {
	return func(_ context.Context, _ int) (float64, error) {
		stop := filepath.Join(os.TempDir(), fmt.Sprintf("kadre-bench-%d-%d", os.Getpid(), rand.Uint64()))
		load := make([]api.Ref[int], w.cpus)
		for i := range load {
			load[i] = burn.Remote(w.ctx, burnFor{time.Now().Add(busyFor), stop})
		}
		<-time.After(parkedPause * 10) // until they run
		took, err := calls(busyRounds, 0)
		if e := os.WriteFile(stop, nil, 0o600); e != nil {
			return 0, e
		}
		defer os.Remove(stop)
		_, e := api.GetAll(w.ctx, load)
		return Median(took) / 1e3, errors.Join(err, e)
	}
}

// burnFor is until when a task uses a CPU: a time, or when a file is there.
type burnFor struct {
	End  time.Time
	Stop string
}

func burnUntil(_ context.Context, b burnFor) (int, error) {
	for n := 0; ; n++ {
		if n%(1<<20) != 0 {
			continue
		}
		if _, err := os.Stat(b.Stop); err == nil || time.Now().After(b.End) {
			return n, nil
		}
	}
}

// large calls with references to objects that the worker has not seen.
func (w *worked) large(_ context.Context, _ int) (float64, error) {
	refs := make([]api.Ref[api.Array[byte]], largeObjects)
	want := make([]int, largeObjects)
	b := make([]byte, largeBytes)
	for i := range refs {
		random(b)
		b[0], b[len(b)-1] = byte(i), byte(i+1)
		want[i] = sumOf(b)
		var err error
		if refs[i], err = putArray(w.ctx, b); err != nil {
			return 0, err
		}
	}
	if _, err := w.callsOf(largeObjects, 0); err != nil { // both awake, as in the row it is compared with
		return 0, err
	}
	took := make([]float64, largeObjects)
	for i := range refs {
		begin := time.Now()
		got, err := sumBytes.With(w.ctx, refs[i]).Get(w.ctx)
		took[i] = float64(time.Since(begin))
		if err != nil || got != want[i] {
			return 0, fmt.Errorf("object %d has the sum %d, not %d: %w", i, got, want[i], err)
		}
	}
	return Median(took), api.Free(w.ctx, refs...)
}

func sumSome(_ context.Context, a api.Array[byte]) (int, error) { return sumOf(a.Data()), nil }

// sumOf adds the first byte, the last and 16 from anywhere.
func sumOf(b []byte) int {
	sum := int(b[0]) + int(b[len(b)-1])
	x := uint32(seed)
	for range 16 {
		x = x*1664525 + 1013904223
		sum += int(b[int(x>>8)%len(b)])
	}
	return sum
}

func (w *worked) idle(_ context.Context, _ int) (float64, error) {
	before, err := cpuTime(w.node, w.pid)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	<-time.After(idleFor)
	wall := time.Since(begin)
	after, err := cpuTime(w.node, w.pid)
	return 100 * float64(after-before) / float64(wall), err
}

// shared is what the references between the driver and its worker share: a ring pair, and a page of words.
type shared struct {
	ring, words string // paths of the files, for the worker
	pair        *shm.RingPair
	page        []byte
	word        [2]*atomic.Uint32
	fds         []int
}

// link makes such memory.
func link() (s *shared, err error) {
	s = &shared{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	fd, _, err := shm.CreateFile(1<<12, shm.KindMemfd, "")
	if err != nil {
		return nil, err
	}
	s.fds = append(s.fds, fd)
	s.words = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
	if fd, err = shm.CreateRingPair(0); err != nil {
		return nil, err
	}
	s.fds = append(s.fds, fd)
	s.ring = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
	return s, s.open(s.fds[1], s.fds[0], 0)
}

func (s *shared) open(ring, words, side int) (err error) {
	if s.page, err = shm.MapRW(words, 0, 1<<12); err != nil {
		return err
	}
	for i := range s.word {
		s.word[i] = shm.Word(s.page, i*64)
	}
	s.pair, err = shm.OpenRingPair(ring, side, s.word[1-side])
	return err
}

func (s *shared) close() {
	if s.pair != nil {
		s.pair.Close()
	}
	if s.page != nil {
		shm.Unmap(s.page)
	}
	for _, fd := range s.fds {
		shm.CloseFD(fd)
	}
}

// at opens the same memory in the worker.
func (m meeting) at() (*shared, error) {
	s := &shared{}
	ring, err := os.OpenFile(m.Ring, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer ring.Close()
	words, err := os.OpenFile(m.Words, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer words.Close()
	if err := s.open(int(ring.Fd()), int(words.Fd()), 1); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// meeting is where the worker finds what is shared.
type meeting struct{ Ring, Words string }

const (
	ringSpin = 2000 // looks before the bare ring parks
	lastByte = 255  // of the message that ends an echo
)

// take waits for a message, as the bare ring does it.
func (s *shared) take(side int) ([]byte, error) {
	in, bell := s.pair.In, s.word[side]
	for {
		for range ringSpin {
			if b, ok, err := in.TryGet(); ok || err != nil {
				return b, err
			}
		}
		last := bell.Load()
		if in.Park() {
			shm.Wait(bell, last, time.Second)
			in.Unpark()
		}
	}
}

func (s *shared) put(b []byte) error {
	for !s.pair.Out.TryPut(b) {
		if err := s.pair.Out.Err(); err != nil {
			return err
		}
	}
	s.pair.Out.Notify()
	return nil
}

// serve works on the shared memory in the worker, on a thread of its own.
func (m meeting) serve(work func(*shared) (int, error)) (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := m.at()
	if err != nil {
		return 0, err
	}
	defer s.close()
	return work(s)
}

// echoRing sends back what comes until the last message.
func echoRing(_ context.Context, m meeting) (int, error) {
	return m.serve((*shared).echo)
}

func (s *shared) echo() (int, error) {
	buf := make([]byte, ringMessage)
	for n := 0; ; n++ {
		b, err := s.take(1)
		if err != nil {
			return n, err
		}
		copy(buf, b)
		s.pair.In.Advance()
		if buf[0] == lastByte {
			return n, nil
		}
		if err := s.put(buf); err != nil {
			return n, err
		}
	}
}

// echoes runs n messages over the bare ring, window at a time, and gives how long each took and all.
func (w *worked) echoes(n, window int) (took []float64, all time.Duration, err error) {
	s, err := link()
	if err != nil {
		return nil, 0, err
	}
	defer s.close()
	done := echoBack.Remote(w.ctx, meeting{s.ring, s.words})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, ringMessage)
	round := func() error {
		if err := s.put(buf); err != nil {
			return err
		}
		_, err := s.take(0)
		s.pair.In.Advance()
		return err
	}
	for range ringWindow { // until the other side is there
		if err := round(); err != nil {
			return nil, 0, err
		}
	}
	took = make([]float64, 0, n)
	begin := time.Now()
	if window == 1 {
		for range n {
			at := time.Now()
			if err := round(); err != nil {
				return nil, 0, err
			}
			took = append(took, float64(time.Since(at)))
		}
	}
	for sent, got := 0, 0; window > 1 && got < n; {
		for ; sent-got < window && sent < n; sent++ {
			if err := s.put(buf); err != nil {
				return nil, 0, err
			}
		}
		if _, err := s.take(0); err != nil {
			return nil, 0, err
		}
		for got++; got < sent; got++ {
			if _, ok, err := s.pair.In.TryGet(); !ok {
				if err != nil {
					return nil, 0, err
				}
				break
			}
		}
		s.pair.In.Advance()
	}
	all = time.Since(begin)
	buf[0] = lastByte
	if err := s.put(buf); err != nil {
		return nil, 0, err
	}
	_, err = done.Get(w.ctx)
	return took, all, err
}

func (w *worked) echoesOf(n int, _ time.Duration) ([]float64, error) {
	took, _, err := w.echoes(n, 1)
	return took, err
}

// bare is the reference of the awake rows.
func (w *worked) bare(window int) Side {
	return func(_ context.Context, n int) (float64, error) {
		took, all, err := w.echoes(n, window)
		if window == 1 {
			return Median(took), err
		}
		return float64(n) / all.Seconds(), err
	}
}

// wakeFutex answers each wake-up with one, until the word says that it was the last.
func wakeFutex(_ context.Context, m meeting) (int, error) {
	return m.serve((*shared).answerWakes)
}

func (s *shared) answerWakes() (int, error) {
	for n := uint32(0); ; n++ {
		for s.word[1].Load() == n {
			shm.Wait(s.word[1], n, time.Second)
		}
		s.word[0].Add(1)
		shm.Wake(s.word[0], 1)
		if n == parkedRounds {
			return int(n), nil
		}
	}
}

func (w *worked) futex(_ context.Context, _ int) (float64, error) {
	s, err := link()
	if err != nil {
		return 0, err
	}
	defer s.close()
	done := wakeBack.Remote(w.ctx, meeting{s.ring, s.words})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	took := make([]float64, 0, parkedRounds+1)
	for n := range uint32(parkedRounds + 1) {
		<-time.After(parkedPause)
		begin := time.Now()
		s.word[1].Add(1)
		shm.Wake(s.word[1], 1)
		for s.word[0].Load() == n {
			shm.Wait(s.word[0], n, time.Second)
		}
		took = append(took, float64(time.Since(begin)))
	}
	_, err = done.Get(w.ctx)
	return Median(took[1:]) / 1e3, err
}
