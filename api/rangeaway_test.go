package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// Ranges of Map that another process runs.

var (
	sometimesFails = api.Func1(failsSometimes, api.RegisterAs("test.sometimesFails"))
	waitsInRange   = api.Func1(waitsOnce, api.RegisterAs("test.waitsInRange"))
	diesInRange    = api.Func1(diesOnce, api.RegisterAs("test.diesInRange"))
	diesOnceOnly   = api.Func1(diesOnce, api.RegisterAs("test.diesOnceOnly"), api.MaxRetries(0))
	textOf         = api.Func1(func(_ context.Context, n int) (string, error) { return strings.Repeat("x", n), nil }, api.RegisterAs("test.textOf"))
	lengthOf       = api.Func1(func(_ context.Context, s string) (int, error) { return len(s), nil }, api.RegisterAs("test.lengthOf"))
	goodIDs        = api.Func1(func(ctx context.Context, _ int) (string, error) { return ownTask(ctx) }, api.RegisterAs("test.goodIDs"))
)

func failsSometimes(_ context.Context, n int) (int, error) {
	if n%7 == 3 {
		return 0, fmt.Errorf("number %d: %w", n, io.EOF)
	}
	return n * 2, nil
}

// step is what a task of a range is told: its number, and a file that one of them waits for or makes.
type step struct {
	N    int
	File string
}

// waitsOnce has number 5 wait for a file.
func waitsOnce(ctx context.Context, s step) (int, error) {
	if s.N == 5 {
		if _, err := waitsForFile(ctx, s.File); err != nil {
			return 0, err
		}
	}
	return s.N, nil
}

// diesOnce notes its start, and has number 400 end its process, once.
func diesOnce(_ context.Context, s step) (int, error) {
	f, err := os.OpenFile(s.File+".starts", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = fmt.Fprintln(f, s.N)
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	if s.N == 400 {
		if f, err := os.OpenFile(s.File, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
			os.Exit(3)
		}
	}
	return s.N, nil
}

func numbers(n int) []int {
	xs := make([]int, n)
	for i := range xs {
		xs[i] = i
	}
	return xs
}

func steps(n int, file string) []step {
	xs := make([]step, n)
	for i := range xs {
		xs[i] = step{i, file}
	}
	return xs
}

func TestRangeAway(t *testing.T) {
	c := startIsolated(t)
	const n = 20_000
	for range 3 { // first it is not known how long they take
		for i, v := range must(api.GetAll(c, squareFunc.Map(c, numbers(n))))(t) {
			if v != i*i {
				t.Fatalf("task %d: %d", i, v)
			}
		}
	}
	refs := sometimesFails.Map(c, numbers(n))
	for i, r := range refs {
		v, err := r.Get(c)
		if fails := i%7 == 3; fails && (!errors.Is(err, io.EOF) || !strings.Contains(err.Error(), fmt.Sprintf("number %d:", i))) || !fails && (v != i*2 || err != nil) {
			t.Fatalf("task %d: %d, %v", i, v, err)
		}
	}
	clear(refs) // they are the caller's
}

// TestRangeAwayValues has results and arguments of all sizes: bare, encoded, and objects in the store.
func TestRangeAwayValues(t *testing.T) {
	c := startIsolated(t)
	sizes := []int{0, 1, 40, 5000, 40 << 10, 300 << 10}
	var ns []int
	for i := range 300 {
		ns = append(ns, sizes[i*i%len(sizes)])
	}
	texts := textOf.Map(c, ns)
	var values []string
	for i, r := range texts {
		s, err := r.Get(c)
		if err != nil || len(s) != ns[i] {
			t.Fatalf("text %d: %d bytes, %v", i, len(s), err)
		}
		values = append(values, s)
	}
	for what, refs := range map[string][]api.Ref[int]{"references": lengthOf.MapRefs(c, texts), "values": lengthOf.Map(c, values),
		"references to what is to come": lengthOf.MapRefs(c, textOf.Map(c, ns))} {
		for i, r := range refs {
			if n, err := r.Get(c); n != ns[i] || err != nil {
				t.Fatalf("%s: length of text %d: %d, not %d: %v", what, i, n, ns[i], err)
			}
		}
	}
}

// TestRangeAwayIDs asks for IDs before tasks have left, while they are out and after: they are those that the tasks see.
func TestRangeAwayIDs(t *testing.T) {
	c := startIsolated(t)
	for range 5 {
		refs := goodIDs.Map(c, numbers(3000))
		want := map[int]string{}
		for i := 0; i < len(refs); i += 7 {
			want[i] = refs[i].ID().String()
		}
		for i, r := range refs {
			got, err := r.Get(c)
			if err != nil || !strings.HasPrefix(r.ID().String(), "ObjectID("+got) || want[i] != "" && want[i] != r.ID().String() {
				t.Fatalf("task %d: it is %s, and says %s: %v", i, r.ID(), got, err)
			}
		}
	}
}

// TestRangeAwayWaits has a task in the midst of a range wait: what came before it is there.
func TestRangeAwayWaits(t *testing.T) {
	c := startIsolated(t)
	g, open := fileGate(t)
	defer open()
	free, openFree := fileGate(t)
	openFree()
	must(api.GetAll(c, waitsInRange.Map(c, steps(5000, free))))(t) // it is learned to be short
	refs := waitsInRange.Map(c, steps(5000, g))
	for i, r := range refs {
		if i == 5 {
			continue
		}
		if v, err := r.Get(c); v != i || err != nil {
			t.Fatalf("task %d: %d, %v", i, v, err)
		}
	}
	if refs[5].IsZero() {
		t.Fatal("no reference")
	}
	if ready, _, err := api.Wait(c, refs[5:6], api.WithTimeout(time.Millisecond)); err != nil || len(ready) != 0 {
		t.Fatalf("the task that waits is done: %v", err)
	}
	open()
	if v, err := refs[5].Get(c); v != 5 || err != nil {
		t.Fatal(v, err)
	}
}

// TestRangeAwayCancel cancels single tasks of a range, and then all with their context.
func TestRangeAwayCancel(t *testing.T) {
	c := startIsolated(t)
	g, open := fileGate(t)
	defer open()
	refs := untilFile.Map(c, []string{g, g, g, g, g, g, g, g})
	for _, i := range []int{1, 6} {
		if err := api.Cancel(c, refs[i]); err != nil {
			t.Fatal(err)
		}
	}
	open()
	for i, r := range refs {
		v, err := r.Get(c)
		if gone := i == 1 || i == 6; gone && !errors.Is(err, api.ErrCancelled) || !gone && (v != 1 || err != nil) {
			t.Fatalf("task %d: %d, %v", i, v, err)
		}
	}
	shut, openShut := fileGate(t)
	defer openShut()
	files := make([]string, 3000)
	for i := range files {
		files[i] = shut
	}
	one, cancel := context.WithCancel(c)
	refs = untilFile.Map(one, files)
	cancel()
	for _, r := range refs {
		if _, err := r.Get(c); !errors.Is(err, api.ErrCancelled) {
			t.Fatal(err)
		}
	}
	if v, err := squareFunc.Remote(c, 3).Get(c); v != 9 || err != nil { // those before it have ended
		t.Fatal(v, err)
	}
}

// TestRangeAwayWorkerDies kills the worker in the midst of a range: what may run again does, of the rest each is run once
// or fails.
func TestRangeAwayWorkerDies(t *testing.T) {
	c := startIsolated(t)
	dir := t.TempDir()
	const n = 2000
	for i, v := range must(api.GetAll(c, diesInRange.Map(c, steps(n, dir+"/again"))))(t) {
		if v != i {
			t.Fatalf("task %d: %d", i, v)
		}
	}
	var died *api.WorkerDiedError
	lost := 0
	for i, r := range diesOnceOnly.Map(c, steps(n, dir+"/once")) {
		v, err := r.Get(c)
		switch {
		case errors.As(err, &died):
			lost++
		case v != i || err != nil:
			t.Fatalf("task %d: %d, %v", i, v, err)
		}
	}
	b := must(os.ReadFile(dir + "/once.starts"))(t)
	starts := map[string]int{}
	for _, l := range strings.Fields(string(b)) {
		if starts[l]++; starts[l] > 1 {
			t.Errorf("task %s was started %d times", l, starts[l])
		}
	}
	if t.Logf("%d tasks started, %d failed with their worker", len(starts), lost); lost == 0 || starts["400"] != 1 {
		t.Error("the worker did not end in the midst of it")
	}
}

func TestRangeAwayManySubmitters(t *testing.T) {
	c := startIsolated(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for k := range 20 {
				refs := squareFunc.Map(c, numbers(500))
				one := subFunc.Remote(c, k, g)
				vs, err := api.GetAll(c, refs)
				if err != nil || vs[499] != 499*499 {
					t.Error(len(vs), err)
					return
				}
				if v, err := one.Get(c); v != k-g || err != nil {
					t.Error(v, err)
				}
			}
		})
	}
	wg.Wait()
}
