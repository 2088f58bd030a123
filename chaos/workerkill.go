package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kadrehq/kadre/api"
)

const (
	killTasks   = 300                    // of each kind in a run
	killsInRun  = 4                      // at most
	killWithin  = 150 * time.Millisecond // of the kill before
	manyRetries = 1000                   // of the tasks that must come through
	killTimeout = 2 * time.Minute        // for one run
	bigResult   = 200 << 10
	killArrays  = 8 // objects that tasks take by reference
	arrayBytes  = 256 << 10
)

// killJobArg is what a task of the plan is told.
type killJobArg struct {
	N    int
	Kind int
	Log  string // the file that notes starts; "": none
}

// The kinds of tasks: nothing; a moment of work; a pause; a large result; a child of its own.
const (
	kindNothing = iota
	kindWork
	kindPause
	kindLarge
	kindChild
	killKinds
)

var (
	killTask  = api.Func1(runKillTask, api.RegisterAs("chaos.task"), api.MaxRetries(manyRetries))
	killOnce  = api.Func1(runKillTask, api.RegisterAs("chaos.once"), api.MaxRetries(0))
	refTask   = api.Func2(runRefTask, api.RegisterAs("chaos.ref"), api.MaxRetries(manyRetries))
	refOnce   = api.Func2(runRefTask, api.RegisterAs("chaos.refOnce"), api.MaxRetries(0))
	killChild = api.Func1(func(_ context.Context, n int) (int, error) { return n * 3, nil }, api.RegisterAs("chaos.child"))
)

// killAnswer is what the task of a number gives.
func killAnswer(n int) []byte { return []byte(strconv.Itoa(n * 3)) }

func runKillTask(ctx context.Context, a killJobArg) ([]byte, error) {
	if a.Log != "" {
		f, err := os.OpenFile(a.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		_, err = f.WriteString(strconv.Itoa(a.N) + "\n")
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	out := killAnswer(a.N)
	switch a.Kind {
	case kindWork:
		for end := time.Now().Add(50 * time.Microsecond); time.Now().Before(end); {
		}
	case kindPause:
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	case kindLarge:
		out = bytes.Repeat(out, bigResult/len(out))
	case kindChild:
		v, err := killChild.Remote(ctx, a.N).Get(ctx)
		if err != nil {
			return nil, err
		}
		out = []byte(strconv.Itoa(v))
	}
	return out, nil
}

// runRefTask is runKillTask with an array, all of whose elements are one number.
func runRefTask(ctx context.Context, a killJobArg, data api.Array[byte]) ([]byte, error) {
	b := data.Data()
	if want := byte(a.N % killArrays); len(b) != arrayBytes || b[0] != want || b[len(b)/2] != want || b[len(b)-1] != want {
		return nil, fmt.Errorf("task %d was given another array: %d bytes", a.N, len(b))
	}
	return runKillTask(ctx, a)
}

// killArgs makes the arrays.
func killArgs(ctx context.Context) (refs []api.Ref[api.Array[byte]], err error) {
	for i := range killArrays {
		a, err := api.ArrayOf(ctx, bytes.Repeat([]byte{byte(i)}, arrayBytes))
		if err != nil {
			return nil, err
		}
		r, err := api.Put(ctx, a)
		if err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return refs, nil
}

// workerKill is the plan.
func workerKill(ctx context.Context, o Options) error {
	o = o.withDefaults()
	if o.Runs == 0 {
		o.Runs = DefaultRuns
	}
	fmt.Fprintf(o.Log, "worker-kill: %d runs, seed %d, %d tasks in each\n", o.Runs, o.Seed, 2*killTasks)
	var all killed
	begin := time.Now()
	for n := 1; n <= o.Runs; n++ {
		k, err := killRun(ctx, o.Seed+uint64(n)-1)
		if err != nil {
			return fmt.Errorf("chaos: worker-kill: run %d of %d (--runs 1 --seed %d): %w", n, o.Runs, o.Seed+uint64(n)-1, err)
		}
		all.kills += k.kills
		all.died += k.died
		all.retried += k.retried
		if n%10 == 0 || n == o.Runs {
			fmt.Fprintf(o.Log, "%7d runs in %v: %d workers killed, %d tasks run again, %d at-most-once tasks ended with their worker\n",
				n, time.Since(begin).Round(100*time.Millisecond), all.kills, all.retried, all.died)
		}
	}
	fmt.Fprintf(o.Log, "worker-kill: %d runs: 0 tasks lost, 0 wrong results, 0 at-most-once tasks started twice\n", o.Runs)
	return nil
}

// killed counts what kills did.
type killed struct {
	kills, died int
	retried     int64
}

// killRun submits tasks of all kinds, half of them at most once, kills the worker that runs them now and then,
// and looks at every result.
func killRun(ctx context.Context, seed uint64) (k killed, err error) {
	r := rand.New(rand.NewPCG(seed, 1))
	dir, err := os.MkdirTemp("", "kadre-chaos-")
	if err != nil {
		return k, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	os.Setenv("KADRE_ISOLATE", "1")
	rt, err := api.Init(ctx, api.Embedded(), api.NumCPUs(2), api.ObjectStoreMemory(128<<20), api.Logger(slog.New(slog.DiscardHandler)))
	os.Unsetenv("KADRE_ISOLATE")
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, rt.Close()) }()
	ctx = rt.With(ctx)

	arrays, err := killArgs(ctx)
	if err != nil {
		return k, err
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		r := rand.New(rand.NewPCG(seed, 2))
		for range r.IntN(killsInRun) + 1 {
			select {
			case <-stop:
				stopped <- nil
				return
			case <-time.After(time.Duration(r.Int64N(int64(killWithin)))):
			}
			n, err := killWorker()
			if k.kills += n; err != nil {
				stopped <- err
				return
			}
		}
		stopped <- nil
	}()
	log := filepath.Join(dir, "starts")
	again, once := make([]api.Ref[[]byte], killTasks), make([]api.Ref[[]byte], killTasks)
	kinds := make([]int, killTasks)
	for i := range kinds {
		kinds[i] = r.IntN(killKinds)
		if kinds[i] == kindLarge && r.IntN(8) > 0 {
			kinds[i] = kindNothing
		}
		if r.IntN(3) == 0 {
			again[i] = refTask.With(ctx, api.Value(killJobArg{i, kinds[i], ""}), arrays[i%killArrays])
			once[i] = refOnce.With(ctx, api.Value(killJobArg{i, kinds[i], log}), arrays[i%killArrays])
		} else {
			again[i] = killTask.Remote(ctx, killJobArg{i, kinds[i], ""})
			once[i] = killOnce.Remote(ctx, killJobArg{i, kinds[i], log})
		}
		if i%50 == 49 {
			<-time.After(time.Duration(r.IntN(10)) * time.Millisecond)
		}
	}
	ran, err := checkKills(ctx, again, once, &k)
	close(stop)
	if err = errors.Join(err, <-stopped); err != nil {
		return k, err
	}
	k.retried = rt.Stats().Retried
	return k, checkStarts(log, ran)
}

// checkKills looks at the results. It says which at-most-once tasks gave one.
func checkKills(ctx context.Context, again, once []api.Ref[[]byte], k *killed) (ran []bool, err error) {
	right := func(i int, b []byte) error {
		want := killAnswer(i)
		if !bytes.HasPrefix(b, want) || len(bytes.TrimLeft(b, string(want))) > 0 {
			return fmt.Errorf("task %d gave %.20q of %d bytes, not %q", i, b, len(b), want)
		}
		return nil
	}
	ran = make([]bool, len(once))
	for i := range again {
		b, err := again[i].Get(ctx)
		if err == nil {
			err = right(i, b)
		}
		if err != nil {
			return nil, fmt.Errorf("task %d, which is run again: %w", i, err)
		}
		b, err = once[i].Get(ctx)
		var died *api.WorkerDiedError
		var lost *api.ObjectLostError
		switch {
		case err == nil:
			ran[i] = true
			err = right(i, b)
		case errors.As(err, &died), errors.As(err, &lost): // a large result may go with its worker
			k.died++
			err = nil
		}
		if err != nil {
			return nil, fmt.Errorf("task %d, which runs at most once: %w", i, err)
		}
	}
	return ran, nil
}

// checkStarts compares what at-most-once tasks noted with what they gave.
func checkStarts(log string, ran []bool) error {
	b, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	starts := make([]int, len(ran))
	for _, s := range strings.Fields(string(b)) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n >= len(ran) {
			return fmt.Errorf("the note of a start is %q", s)
		}
		starts[n]++
	}
	for i, n := range starts {
		if n > 1 || ran[i] && n != 1 {
			return fmt.Errorf("task %d, which runs at most once, started %d times; it gave a result: %v", i, n, ran[i])
		}
	}
	return nil
}

// killWorker kills the workers that this process's node has started, and says how many.
func killWorker() (n int, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		_, rest, ok := bytes.Cut(b, []byte(") "))
		if err != nil || !ok {
			continue // it has ended
		}
		if fields := strings.Fields(string(rest)); len(fields) < 2 || fields[0] == "Z" || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		env, err := os.ReadFile(filepath.Join(filepath.Dir(f), "environ"))
		if err != nil || !bytes.Contains(env, []byte("KADRE_WORKER_ID=")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			return n, err
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			return n, err
		}
		if p.Kill() == nil {
			n++
		}
	}
	return n, nil
}
