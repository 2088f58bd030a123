package api_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

var (
	mapRan  atomic.Int64
	mapGate = make(chan struct{})

	mapSquare = api.Func1(func(_ context.Context, x int) (int, error) { mapRan.Add(1); return x * x, nil }, api.RegisterAs("map square"))
	mapUpper  = api.Func1(func(_ context.Context, s string) (string, error) { return strings.ToUpper(s), nil }, api.RegisterAs("map upper"))
	mapSum    = api.Func1(func(_ context.Context, xs []int) (n int, err error) {
		for i := range xs {
			n, xs[i] = n+xs[i], -1
		}
		return n, nil
	}, api.RegisterAs("map sum"))
	mapOdd = api.Func1(func(_ context.Context, x int) (int, error) {
		if x%2 == 1 {
			return 0, fmt.Errorf("%d is odd", x)
		}
		return x, nil
	}, api.RegisterAs("map odd"))
	mapHold = api.Func1(func(c context.Context, x int) (int, error) {
		select {
		case <-mapGate:
		case <-c.Done():
		}
		return x, c.Err()
	}, api.RegisterAs("map hold"))
	mapExit   = api.Func1(func(_ context.Context, x int) (int, error) { runtime.Goexit(); return x, nil }, api.RegisterAs("map exit"))
	joinWords = api.Func2(func(_ context.Context, a, b string) (string, error) {
		if strings.Contains(a+b, "!") {
			return "", errors.New("no shouting")
		}
		return a + b, nil
	}, api.RegisterAs("join words"))
	addTo = api.Func2(func(_ context.Context, a []int, b int) (int, error) {
		n := a[0] + len(a) + b
		a[0] = 1000
		return n, nil
	}, api.RegisterAs("add to"))
	reduceIn = api.Func1(func(c context.Context, n int) (api.Ref[string], error) {
		xs := make([]string, n)
		for i := range xs {
			xs[i] = fmt.Sprint(i%10, ",")
		}
		return api.Reduce(c, mapUpper.Map(c, xs), joinWords), nil
	}, api.RegisterAs("reduce in a task"))
)

func TestMap(t *testing.T) {
	c := start(t)
	for _, n := range []int{0, 1, 2, 72, 73, 74, 5000} {
		mapRan.Store(0)
		xs := make([]int, n)
		for i := range xs {
			xs[i] = i
		}
		refs := mapSquare.Map(c, xs)
		clear(xs) // they are the caller's
		vs := must(api.GetAll(c, refs))(t)
		if len(vs) != n || mapRan.Load() != int64(n) && !isolated {
			t.Fatal(n, len(vs), mapRan.Load())
		}
		for i, v := range vs {
			if v != i*i {
				t.Fatal(n, i, v)
			}
		}
	}
	if vs := must(api.GetAll(c, mapUpper.Map(c, []string{"a", "", "b"})))(t); strings.Join(vs, ".") != "A..B" {
		t.Error(vs)
	}
	one := []int{1, 2}
	if vs := must(api.GetAll(c, mapSum.Map(c, [][]int{one, one, nil})))(t); fmt.Sprint(vs, one) != "[3 3 0] [1 2]" {
		t.Error(vs, one)
	}
	_, err := api.GetAll(c, mapOdd.Map(c, []int{0, 2, 5, 6}))
	if err == nil || !strings.Contains(err.Error(), "ref 2") || !strings.Contains(err.Error(), "5 is odd") {
		t.Error(err)
	}
	for i, r := range mapSquare.Options(api.NumCPUs(0.5)).Map(c, []int{3, 4}) {
		if v := must(r.Get(c))(t); v != (3+i)*(3+i) {
			t.Error(v)
		}
	}
}

// A Map that nobody gets runs all the same, whichever of its tasks end their goroutines.
func TestMapRunsByItself(t *testing.T) {
	c := start(t)
	mapRan.Store(0)
	refs := mapSquare.Map(c, make([]int, 3000))
	ready, _, err := api.Wait(c, refs, api.NumReturns(len(refs)))
	if err != nil || len(ready) != len(refs) || mapRan.Load() != 3000 && !isolated {
		t.Error(len(ready), err, mapRan.Load())
	}
	gone := mapExit.Map(c, make([]int, 40))
	ready, _, err = api.Wait(c, gone, api.NumReturns(len(gone)))
	if err != nil || len(ready) != len(gone) {
		t.Error(len(ready), err)
	}
}

func TestMapIsCancelled(t *testing.T) {
	c := start(t)
	ctx, cancel := context.WithCancel(c)
	refs := mapHold.Map(ctx, make([]int, 500))
	cancel()
	ready, _, err := api.Wait(c, refs, api.NumReturns(len(refs)))
	if err != nil || len(ready) != len(refs) {
		t.Fatal(len(ready), err)
	}
	for i, r := range refs {
		if _, err := r.Get(c); !errors.Is(err, context.Canceled) {
			t.Fatal(i, err)
		}
	}
	if _, err := mapSquare.Map(ctx, []int{1})[0].Get(c); !errors.Is(err, api.ErrCancelled) {
		t.Error(err)
	}
}

func TestMapRefs(t *testing.T) {
	c := start(t)
	first := mapSquare.Map(c, []int{1, 2, 3, 4})
	refs := mapSquare.MapRefs(c, first)
	if vs := must(api.GetAll(c, refs))(t); fmt.Sprint(vs) != "[1 16 81 256]" {
		t.Error(vs)
	}
	again := mapSquare.MapRefs(c, refs) // all are there
	if vs := must(api.GetAll(c, again))(t); fmt.Sprint(vs) != "[1 256 6561 65536]" {
		t.Error(vs)
	}
	bad := mapSquare.MapRefs(c, append(mapOdd.Map(c, []int{2, 3}), api.Ref[int]{}))
	if v := must(bad[0].Get(c))(t); v != 4 {
		t.Error(v)
	}
	if _, err := bad[1].Get(c); err == nil || !strings.Contains(err.Error(), "3 is odd") {
		t.Error(err)
	}
	if _, err := bad[2].Get(c); !errors.Is(err, api.ErrZero) {
		t.Error(err)
	}
}

func TestBind(t *testing.T) {
	c := start(t)
	f := addTo.Bind(api.Value([]int{10, 0}))
	for i := range 3 { // each call has its own copy
		if v := must(f.Remote(c, i).Get(c))(t); v != 12+i {
			t.Error(i, v)
		}
	}
	if vs := must(api.GetAll(c, f.Map(c, []int{1, 2})))(t); fmt.Sprint(vs) != "[13 14]" {
		t.Error(vs)
	}
	if vs := must(api.GetAll(c, f.MapRefs(c, mapSquare.Map(c, []int{1, 2}))))(t); fmt.Sprint(vs) != "[13 16]" {
		t.Error(vs)
	}
	if v := must(f.With(c, mapSquare.Remote(c, 3)).Get(c))(t); v != 21 {
		t.Error(v)
	}
	if v := must(f.Options(api.NumCPUs(0)).Remote(c, 1).Get(c))(t); v != 13 {
		t.Error(v)
	}
	all := addTo.Bind(api.All(mapSquare.Map(c, []int{2, 3})))
	if v := must(all.Remote(c, 1).Get(c))(t); v != 7 {
		t.Error(v)
	}
	if _, err := addTo.Bind(nil).Remote(c, 1).Get(c); !errors.Is(err, api.ErrZero) {
		t.Error(err)
	}
}

func TestReduce(t *testing.T) {
	c := start(t)
	want := ""
	var refs []api.Ref[string]
	for i := range 200 {
		s := fmt.Sprint(i, ";")
		want += s
		refs = append(refs, mapUpper.Remote(c, s))
	}
	if v := must(api.Reduce(c, refs, joinWords).Get(c))(t); v != want {
		t.Error(v)
	}
	if r := api.Reduce(c, refs[:1], joinWords); r != refs[0] {
		t.Error("one ref is not its own result")
	}
	for n := 2; n < 6; n++ {
		if v := must(api.Reduce(c, refs[:n], joinWords).Get(c))(t); !strings.HasPrefix(want, v) || strings.Count(v, ";") != n {
			t.Error(n, v)
		}
	}
	if _, err := api.Reduce(c, nil, joinWords).Get(c); err == nil || !strings.Contains(err.Error(), "no refs") {
		t.Error(err)
	}
	if _, err := api.Reduce(c, make([]api.Ref[string], 2), joinWords).Get(c); !errors.Is(err, api.ErrZero) {
		t.Error(err)
	}
	shout := append(refs[:3:3], mapUpper.Remote(c, "!"))
	if _, err := api.Reduce(c, shout, joinWords).Get(c); err == nil || !strings.Contains(err.Error(), "no shouting") {
		t.Error(err)
	}
	inner := must(reduceIn.Remote(c, 50).Get(c))(t) // its task has ended, and what it began goes on
	if v := must(inner.Get(c))(t); v != strings.Repeat("0,1,2,3,4,5,6,7,8,9,", 5) {
		t.Error(v)
	}
}

type big [3000]byte

var (
	mapBig  = api.Func1(func(_ context.Context, x int) (b big, err error) { b[0] = byte(x); return b, nil }, api.RegisterAs("map big"))
	mapText = api.Func1(func(_ context.Context, n int) (string, error) { return strings.Repeat("x", n), nil }, api.RegisterAs("map text"))
)

// TestForgottenRef: one Ref that is kept does not keep other results of more than 1 KiB, and of small ones not more
// than 1 KiB and a slab of 4 KiB.
func TestForgottenRef(t *testing.T) {
	c := start(t)
	const n = 2000
	for _, tt := range []struct {
		name string
		call func() any // gives one Ref of n
		most uint64     // bytes that may stay, of n results
	}{
		{"3000 bytes", func() any { rs := mapBig.Map(c, make([]int, n)); get1(t, c, rs); return rs[n/2] }, 256 << 10},
		{"text", func() any {
			xs := make([]int, n)
			for i := range xs {
				xs[i] = 2000
			}
			rs := mapText.Map(c, xs)
			get1(t, c, rs)
			return rs[n/2]
		}, 256 << 10},
		{"int", func() any { rs := mapSquare.Map(c, make([]int, 100*n)); get1(t, c, rs); return rs[n/2] }, 256 << 10},
	} {
		tt.call() // warms up
		before := liveBytes()
		kept := tt.call()
		var grew uint64
		for range 100 { // until the executors have let go of their last entries, too
			if after := liveBytes(); after > before {
				grew = after - before
			} else {
				grew = 0
			}
			if grew <= tt.most {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if t.Logf("%s: %d bytes stay", tt.name, grew); grew > tt.most {
			t.Errorf("%s: one Ref keeps %d bytes", tt.name, grew)
		}
		runtime.KeepAlive(kept)
	}
}

func get1[T any](t *testing.T, c context.Context, rs []api.Ref[T]) {
	if _, err := api.GetAll(c, rs); err != nil {
		t.Fatal(err)
	}
}

func liveBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestFunctions(t *testing.T) {
	hereOnly(t, "Functions lists what ran in this one")
	c := start(t)
	if _, err := api.GetAll(c, mapSquare.Map(c, make([]int, 5000))); err != nil {
		t.Fatal(err)
	}
	rt := must(api.Init(c, api.Embedded()))(t)
	defer rt.Close()
	for _, f := range rt.Functions() {
		if f.Name == "map square" {
			if f.Runs < 100 || f.P50 <= 0 || f.P99 < f.P50 {
				t.Errorf("%+v", f)
			}
			return
		}
	}
	t.Error("not listed")
}
