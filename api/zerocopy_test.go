package api_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

func counted(ctx context.Context, n int) (api.Array[int64], error) {
	a, err := api.NewArray[int64](ctx, n)
	for i := range a.Data() {
		a.Data()[i] = int64(i)
	}
	return a, err
}

func sumOf(_ context.Context, a api.Array[int64]) (sum int64, err error) {
	for _, x := range a.Data() {
		sum += x
	}
	return sum, nil
}

var kept struct {
	sync.Mutex
	a api.Array[int64]
}

// keeping returns the same Array each time, in one process.
func keeping(ctx context.Context, n int) (api.Array[int64], error) {
	kept.Lock()
	defer kept.Unlock()
	if kept.a.Len() == 0 {
		a, err := counted(ctx, n)
		if err != nil {
			return a, err
		}
		kept.a = a
	}
	return kept.a, nil
}

func forget(context.Context) error { kept.a = api.Array[int64]{}; return nil }
func leave(context.Context) error  { os.Exit(3); return nil }

// early writes through a slice that it took before the Array was sealed.
func early(ctx context.Context, n int) error {
	a, err := api.NewArray[int64](ctx, n)
	if err != nil {
		return err
	}
	d := a.Data()
	d[0] = 7
	if _, err := api.Put(ctx, a); err != nil {
		return err
	}
	if a.Data()[0] != 7 {
		return errors.New("another Array after the seal")
	}
	d[0] = 8
	return nil
}

// holdsOn frees its argument and reads it all the same.
func holdsOn(ctx context.Context, in []api.Ref[api.Array[int64]], a api.Array[int64]) (int64, error) {
	d := a.Data()
	b, err := in[0].Get(ctx)
	if err != nil {
		return 0, err
	}
	e := b.Data()
	a, b = api.Array[int64]{}, api.Array[int64]{}
	for range 3 {
		runtime.GC()
		x, err := api.NewArray[int64](ctx, len(d))
		if err != nil {
			return 0, err
		}
		clear(x.Data())
		x.Release()
	}
	return d[len(d)-1] + e[len(e)-1], nil
}

var (
	countedFunc = api.Func1(counted)
	sumArray    = api.Func1(sumOf)
	keepingFunc = api.Func1(keeping)
	forgetFunc  = api.Proc0(forget)
	leaveFunc   = api.Proc0(leave, api.MaxRetries(0))
	earlyFunc   = api.Proc1(early)
	holdsFunc   = api.Func2(holdsOn)
)

// here and elsewhere run f with tasks in this process and in a worker process.
func hereAndElsewhere(t *testing.T, f func(t *testing.T, c context.Context)) {
	t.Run("here", func(t *testing.T) { f(t, start(t)) })
	t.Run("elsewhere", func(t *testing.T) { f(t, startIsolated(t)) })
}

func TestArrayResults(t *testing.T) {
	hereAndElsewhere(t, func(t *testing.T, c context.Context) {
		for _, n := range []int{0, 1, 1000, 100_000} {
			ref := countedFunc.Remote(c, n)
			id := ref.ID() // also where it is known before the task ends
			a := must(ref.Get(c))(t)
			b := must(ref.Get(c))(t)
			if a.Len() != n || b.Len() != n || n > 0 && (a.Data()[n-1] != int64(n-1) || &a.Data()[0] != &b.Data()[0]) {
				t.Fatal(n, "another Array came")
			}
			if again := must(api.Put(c, a))(t); again.ID() != id {
				t.Error(n, "putting an Array that is an object made another object")
			}
			want := int64(n) * int64(n-1) / 2
			if sum := must(sumArray.With(c, ref).Get(c))(t); sum != want {
				t.Error(n, "a task got another Array:", sum)
			}
			if sum := must(sumArray.Remote(c, a).Get(c))(t); sum != want {
				t.Error(n, "a task got another Array by value:", sum)
			}
			a.Release()
			b.Release()
		}
		none := must(sumArray.Remote(c, api.Array[int64]{}).Get(c))(t)
		zero := must(must(api.Put(c, api.Array[int64]{}))(t).Get(c))(t)
		if none != 0 || zero.Len() != 0 {
			t.Error("the zero Array is not empty")
		}
	})
}

// TestArrayOutlivesItsProcess reads results of a worker that has ended.
func TestArrayOutlivesItsProcess(t *testing.T) {
	c := startIsolated(t)
	whole := countedFunc.Remote(c, 1000)
	large := countedFunc.Remote(c, 100_000)
	if _, _, err := api.Wait(c, []api.Ref[api.Array[int64]]{whole, large}, api.NumReturns(2)); err != nil {
		t.Fatal(err)
	}
	before := must(whoFunc.Remote(c).Get(c))(t).PID
	var died *api.WorkerDiedError
	if _, err := leaveFunc.Remote(c).Get(c); !errors.As(err, &died) {
		t.Fatal(err)
	}
	if sum := must(sumArray.With(c, large).Get(c))(t); sum != 100_000*99_999/2 {
		t.Error("another sum:", sum)
	}
	if a := must(whole.Get(c))(t); a.Len() != 1000 || a.Data()[999] != 999 {
		t.Error("another Array")
	}
	if after := must(whoFunc.Remote(c).Get(c))(t).PID; after == before {
		t.Error("the worker lives")
	}
}

// TestArrayReturnedTwice has tasks give an Array that was a result before: they belong to different owners.
func TestArrayReturnedTwice(t *testing.T) {
	hereAndElsewhere(t, func(t *testing.T, c context.Context) {
		defer func() { must(forgetFunc.Remote(c).Get(c))(t) }()
		for range 3 {
			ref := keepingFunc.Remote(c, 1000)
			a := must(ref.Get(c))(t)
			if a.Len() != 1000 || a.Data()[999] != 999 {
				t.Error("another Array")
			}
			a.Release()
			if err := api.Free(c, ref); err != nil && !strings.Contains(err.Error(), "belongs to") {
				t.Error(err)
			}
		}
	})
}

func TestWritesToSealedData(t *testing.T) {
	t.Setenv("KADRE_CHECK", "seal,empty")
	hereAndElsewhere(t, func(t *testing.T, c context.Context) {
		a := must(api.ArrayOf(c, make([]float64, 50_000)))(t)
		ref := must(api.Put(c, a))(t)
		defer a.Release()
		var failed *api.TaskError
		_, err := scribbleFunc.With(c, ref).Get(c)
		id := ref.ID()
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), hex.EncodeToString(id[:])) || failed.Stack == "" {
			t.Errorf("a write to %v: %v", id, err)
		}
		if a.Data()[0] != 0 {
			t.Error("it changed")
		}
		for _, n := range []int{1, 100, 5000, 50_000} { // small ones share no pages here
			_, err = earlyFunc.Remote(c, n).Get(c)
			if !errors.As(err, &failed) || !strings.Contains(err.Error(), "write to sealed object") {
				t.Error("a write through an early slice:", n, err)
			}
		}
		small := must(sumArray.With(c, countedFunc.Remote(c, 10)).Get(c))(t)
		if small != 45 {
			t.Error("a small Array with pages of its own has the sum", small)
		}
		if debug.SetPanicOnFault(false) {
			t.Error("this goroutine does not end the process on a fault any more")
		}
	})
}

func TestArraysAreHeldByTheirTask(t *testing.T) {
	hereAndElsewhere(t, func(t *testing.T, c context.Context) {
		one, two := countedFunc.Remote(c, 10_000), countedFunc.Remote(c, 10_000)
		if got := must(holdsFunc.With(c, api.Value([]api.Ref[api.Array[int64]]{two}), one).Get(c))(t); got != 2*9999 {
			t.Error("other elements:", got)
		}
	})
}

// TestFaultsEndTheProcess does in a child process what ends it.
func TestFaultsEndTheProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	if how := os.Getenv("KADRE_TEST_FAULT"); how != "" {
		fault(t, how)
		return
	}
	for _, how := range []string{"read after Close", "write outside of a task"} {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestFaultsEndTheProcess$")
		cmd.Env = append(os.Environ(), "KADRE_TEST_FAULT="+how)
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		cancel()
		var ended *exec.ExitError
		if s := string(out); !errors.As(err, &ended) || !strings.Contains(s, "before the fault") || !strings.Contains(s, "unexpected fault address") || strings.Contains(s, "after the fault") {
			t.Errorf("%s: %v\n%s", how, err, out)
		}
	}
}

func fault(t *testing.T, how string) {
	ctx := context.Background()
	rt, err := api.Init(ctx, api.Embedded(), api.ObjectStoreMemory(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	c := rt.With(ctx)
	a := must(must(api.Put(c, must(api.ArrayOf(c, []int{1, 2, 3}))(t)))(t).Get(c))(t)
	d := a.Data()
	if how == "read after Close" {
		if err := rt.Close(); err != nil {
			t.Fatal(err)
		}
		fmt.Println("before the fault")
		fmt.Println("after the fault:", d[0])
	}
	fmt.Println("before the fault")
	d[0] = 5
	fmt.Println("after the fault")
}

// TestArraysShareAHold gets one Array many times at once: each is released by itself, or forgotten.
func TestArraysShareAHold(t *testing.T) {
	c := start(t)
	a := must(api.ArrayOf(c, []int{1, 2, 3}))(t)
	ref := must(api.Put(c, a))(t)
	a.Release()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 300 {
				b, err := ref.Get(c)
				if err != nil || b.Data()[2] != 3 {
					t.Error(err)
					return
				}
				other, err := ref.Get(c)
				if err != nil {
					t.Error(err)
					return
				}
				b.Release()
				b.Release()
				if panicOf(func() { b.Data() }) == nil || other.Data()[0] != 1 {
					t.Error("released together")
				}
				if (i+g)%3 > 0 { // forgotten else
					other.Release()
				}
				if i%100 == 0 {
					runtime.GC()
				}
			}
		})
	}
	wg.Wait()
	b := must(ref.Get(c))(t)
	if err := api.Free(c, ref); err != nil {
		t.Fatal(err)
	}
	var lost *api.ObjectLostError
	if _, err := ref.Get(c); !errors.As(err, &lost) {
		t.Error("freed, and still here:", err)
	}
	if b.Data()[1] != 2 {
		t.Error("it changed while it was held")
	}
	b.Release()
}
