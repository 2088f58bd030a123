package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	hogMemory  = 2 << 30                // what workers may take together, unless the plan is told
	hogPage    = 4096                   // of each, a byte is written
	hogRest    = 30 * time.Millisecond  // between two tasks of the other job
	hogSample  = 10 * time.Millisecond  // between two looks at what workers take
	hogProcess = (64 + 128) << 20       // what a worker may take beside: its own, and what Go maps ahead
	hogTimeout = 2 * time.Minute        // for a task to end
	hogBeside  = 300 * time.Millisecond // the other job's last tasks, after the last hog
)

// hogArg says how a task takes memory without end.
type hogArg struct {
	Piece int           // bytes at a time
	Rest  time.Duration // after each
	Most  int64         // for the machine's sake
	Stack bool          // in the stacks of goroutines
}

var (
	hogTask  = api.Func1(runHog, api.RegisterAs("chaos.hog"), api.MaxRetries(0))
	hogQuiet = api.Func1(runQuiet, api.RegisterAs("chaos.quiet"), api.MaxRetries(0))
	hogTally = api.Class0(func(context.Context) (*tally, error) { return &tally{}, nil }, api.RegisterAs("chaos.tally"), api.OwnProcess())
	hogAdd   = api.Method1((*tally).add, api.RegisterAs("chaos.tally.add"))
)

// runHog takes memory until it is ended.
func runHog(ctx context.Context, a hogArg) (int, error) {
	var all [][]byte
	for n := int64(0); n < a.Most; n += int64(a.Piece) {
		if a.Stack {
			ready := make(chan struct{})
			go func() { deep(a.Piece/1024, ready, ctx.Done()) }()
			<-ready
			continue
		}
		b := make([]byte, a.Piece)
		for i := 0; i < len(b); i += hogPage {
			b[i] = 1
		}
		all = append(all, b)
		if a.Rest > 0 {
			if err := rests(ctx, a.Rest); err != nil {
				return 0, err
			}
		}
	}
	<-ctx.Done()
	return len(all), ctx.Err()
}

// deep keeps so many KiB of stack until the end.
func deep(kib int, ready chan struct{}, end <-chan struct{}) byte {
	var b [1024]byte
	b[kib%len(b)] = 1
	if kib <= 0 {
		close(ready)
		<-end
		return b[0]
	}
	return deep(kib-1, ready, end) + b[kib%len(b)]
}

// runQuiet is a task of the other job.
func runQuiet(ctx context.Context, n int) (hogQuietAnswer, error) {
	i, _ := api.FromContext(ctx)
	return hogQuietAnswer{n * 3, i.PID, i.Attempt}, nil
}

type hogQuietAnswer struct{ N, PID, Attempt int }

// tally is an actor of the other job.
type tally struct{ n int }

func (t *tally) add(_ context.Context, n int) (int, error) { t.n += n; return t.n, nil }

// hogCase is one way to take memory, by so many tasks at once.
type hogCase struct {
	name  string
	arg   hogArg
	limit int64 // HeapMemory; 0: none, the node's counts
	tasks int
	again int // retries
}

func hogCases(memory int64, brief bool) []hogCase {
	own := memory / 8
	cs := []hogCase{
		{name: "a little at a time, beyond what it said", arg: hogArg{Piece: 1 << 20, Rest: time.Millisecond}, limit: own},
		{name: "as fast as it goes, beyond what it said, twice", arg: hogArg{Piece: 1 << 20}, limit: own, again: 1},
		{name: "all at once, beyond what it said", arg: hogArg{Piece: int(memory)}, limit: own},
		{name: "as fast as it goes, all that the node has", arg: hogArg{Piece: 1 << 20}},
		{name: "in large pieces, all that the node has", arg: hogArg{Piece: int(memory / 3)}},
		{name: "all at once, more than the node has", arg: hogArg{Piece: int(2 * memory)}},
		{name: "in stacks of goroutines", arg: hogArg{Piece: 256 << 10, Stack: true}},
		{name: "three at a time", arg: hogArg{Piece: 1 << 20}, tasks: 3},
	}
	if brief {
		cs = []hogCase{cs[1], cs[3], cs[5], cs[7]}
	}
	for i := range cs {
		cs[i].arg.Most, cs[i].tasks = 4*memory, max(1, cs[i].tasks)
	}
	return cs
}

// memoryHog is the plan.
func memoryHog(ctx context.Context, o Options) (err error) {
	o = o.withDefaults()
	if o.Memory == 0 {
		o.Memory = hogMemory
	}
	dir, err := os.MkdirTemp("", "khog")
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	b := &stuckBed{dir: dir}
	defer func() { err = errors.Join(err, b.close()) }()
	cfg := node.Config{Cluster: "hog", StateDir: filepath.Join(dir, "state"), CPUs: 2, ObjectStoreMemory: 64 << 20,
		Resources: map[string]float64{wire.Memory: float64(o.Memory)}}
	if err := b.startNode(cfg); err != nil {
		return err
	}
	if b.rt, err = b.attach(ctx); err != nil {
		return err
	}
	os.Setenv("KADRE_ISOLATE", "1")
	other, err := b.attach(ctx)
	os.Unsetenv("KADRE_ISOLATE")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, other.Close()) }()

	at := b.cmds[0].Process.Pid
	beside, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	scale := &scale{node: at}
	wg.Go(func() { scale.watch(beside) })
	quiet := &quietJob{}
	wg.Go(func() { quiet.run(other.With(ctx), beside.Done()) })

	missed := 0
	for _, c := range hogCases(o.Memory, o.brief) {
		peak, workers, err := scale.during(func() error { return c.try(b.rt.With(ctx), o.Memory) })
		most := o.Memory + int64(workers)*hogProcess
		if err == nil && peak > most && !o.brief {
			err = fmt.Errorf("workers took %d MiB together, at most %d wanted", peak>>20, most>>20)
		}
		if err != nil {
			missed++
			fmt.Fprintf(o.Log, "%-48s MISSED: %v\n", c.name, err)
			continue
		}
		fmt.Fprintf(o.Log, "%-48s ended, the error names it, its memory and the limit; all %d workers took %d MiB at most\n", c.name, workers, peak>>20)
	}
	if err := rests(ctx, hogBeside); err != nil {
		return err
	}
	stop()
	wg.Wait()
	if quiet.err != nil {
		return fmt.Errorf("chaos: the job beside: %w", quiet.err)
	}
	var s node.Status
	if err := b.ask(ctx, "status", &s); err != nil {
		return fmt.Errorf("chaos: the node does not answer any more: %w", err)
	}
	used, _ := privateOf(at)
	fmt.Fprintf(o.Log, "the job beside ran %d tasks in one worker and called its actor as often; the node lives and takes %d MiB\n", quiet.ran, used>>20)
	if missed > 0 {
		return fmt.Errorf("chaos: %d ways to take memory went wrong", missed)
	}
	fmt.Fprintf(o.Log, "memory-hog: %d MiB held: 0 other tasks lost\n", o.Memory>>20)
	return nil
}

// try runs the tasks of a case and looks at their errors.
func (c *hogCase) try(ctx context.Context, memory int64) error {
	ctx, cancel := context.WithTimeout(ctx, hogTimeout)
	defer cancel()
	opts := []api.TaskOption{api.OwnProcess(), api.MaxRetries(c.again)}
	limit := memory
	if c.limit > 0 {
		opts, limit = append(opts, api.HeapMemory(c.limit)), c.limit
	}
	f := hogTask.Options(opts...)
	var refs []api.Ref[int]
	for range c.tasks {
		refs = append(refs, f.Remote(ctx, c.arg))
	}
	for _, r := range refs {
		_, err := r.Get(ctx)
		var died *api.WorkerDiedError
		if !errors.As(err, &died) {
			return fmt.Errorf("it gave no WorkerDiedError: %w", err)
		}
		text, _, _ := strings.Cut(err.Error(), "\n")
		for _, want := range []string{"chaos.hog", "memory", sizeText(limit)} {
			if !strings.Contains(text, want) {
				return fmt.Errorf("the error does not name %q: %s", want, text)
			}
		}
	}
	return nil
}

// sizeText is how errors name a limit.
func sizeText(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// quietJob goes on beside.
type quietJob struct {
	ran int
	err error
}

// run runs tasks in the job's worker and calls an actor in another, until end.
func (q *quietJob) run(ctx context.Context, end <-chan struct{}) {
	sum, pid := 0, 0
	a := hogTally.Remote(ctx)
	for ; ; q.ran++ {
		n := q.ran
		v, err := hogQuiet.Remote(ctx, n).Get(ctx)
		if err == nil && (v.N != n*3 || v.Attempt != 0 || pid != 0 && v.PID != pid) {
			err = fmt.Errorf("task %d gave %+v; process %d ran those before", n, v, pid)
		}
		pid = v.PID
		got := 0
		if err == nil {
			got, err = hogAdd.Remote(ctx, a, n).Get(ctx)
		}
		if sum += n; err == nil && got != sum {
			err = fmt.Errorf("the actor gave %d after %d calls, not %d", got, n+1, sum)
		}
		if q.err = err; err != nil {
			return
		}
		select {
		case <-end:
			return
		case <-time.After(hogRest):
		}
	}
}

// scale weighs the workers of a node.
type scale struct {
	node int

	mu      sync.Mutex
	peak    int64 // since during began
	workers int
}

// during gives the most that all workers took together while f ran, and how many there were at most.
func (s *scale) during(f func() error) (peak int64, workers int, err error) {
	s.mu.Lock()
	s.peak, s.workers = 0, 0
	s.mu.Unlock()
	err = f()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak, s.workers, err
}

func (s *scale) watch(ctx context.Context) {
	for rests(ctx, hogSample) == nil {
		total, n := int64(0), 0
		for _, pid := range childrenOf(s.node) {
			if used, ok := privateOf(pid); ok {
				total += used
				n++
			}
		}
		s.mu.Lock()
		s.peak, s.workers = max(s.peak, total), max(s.workers, n)
		s.mu.Unlock()
	}
}

// childrenOf lists the processes that a process started.
func childrenOf(pid int) (pids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is good
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for _, w := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(w); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// privateOf is the memory that a process shares with nobody.
func privateOf(pid int) (bytes int64, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if err != nil || len(f) < 3 {
		return 0, false
	}
	resident, err1 := strconv.ParseInt(f[1], 10, 64)
	shared, err2 := strconv.ParseInt(f[2], 10, 64)
	return (resident - shared) * int64(os.Getpagesize()), errors.Join(err1, err2) == nil
}
