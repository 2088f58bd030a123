package api_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/kadrehq/kadre/api"
)

func scaled(ctx context.Context, a api.Array[float64], by float64) (api.Array[float64], error) {
	out, err := api.NewArray[float64](ctx, a.Len())
	if err != nil {
		return out, err
	}
	for i, x := range a.Data() {
		out.Data()[i] = x * by
	}
	return out, nil
}

func sameArray(_ context.Context, a api.Array[float64]) (api.Array[float64], error) { return a, nil }

// where gives the process and the address of an Array's memory.
func where(_ context.Context, a api.Array[float64]) ([2]uint64, error) {
	return [2]uint64{uint64(os.Getpid()), uint64(uintptr(unsafe.Pointer(&a.Data()[0])))}, nil
}

func scribble(_ context.Context, a api.Array[float64]) error { a.Data()[0] = -1; return nil }

var (
	scaledFunc   = api.Func2(scaled)
	sameArrayOf  = api.Func1(sameArray)
	whereFunc    = api.Func1(where)
	scribbleFunc = api.Proc1(scribble)
)

func TestArrays(t *testing.T) {
	c := start(t)
	testArrays(t, c)
}

func TestArraysOfOtherProcesses(t *testing.T) {
	testArrays(t, startIsolated(t))
}

func testArrays(t *testing.T, c context.Context) {
	a := must(api.NewArray[float64](c, 1000))(t)
	defer a.Release()
	if a.Len() != 1000 || len(a.Data()) != 1000 || cap(a.Data()) != 1000 {
		t.Fatalf("%d elements", a.Len())
	}
	for i := range a.Data() {
		if a.Data()[i] != 0 {
			t.Fatal("a new Array is not zero")
		}
		a.Data()[i] = float64(i)
	}
	ref := must(api.Put(c, a))(t)
	b := must(ref.Get(c))(t)
	defer b.Release()
	if b.Len() != 1000 || b.Data()[999] != 999 || a.Data()[999] != 999 {
		t.Error("an Array changed on its way")
	}
	if &a.Data()[0] != &b.Data()[0] {
		t.Error("an Array was copied on its way")
	}
	twice := must(scaledFunc.With(c, ref, api.Value(2.0)).Get(c))(t)
	defer twice.Release()
	if twice.Len() != 1000 || twice.Data()[999] != 1998 {
		t.Error("a task gave another Array")
	}
	back := must(sameArrayOf.Remote(c, a).Get(c))(t)
	defer back.Release()
	if &back.Data()[0] != &a.Data()[0] {
		t.Error("an Array came back as a copy")
	}
	if _, err := scribbleFunc.Remote(c, a).Get(c); err == nil || a.Data()[0] != 0 {
		t.Errorf("a task wrote into an Array: %v, %v", a.Data()[0], err)
	}
	if at := must(whereFunc.Remote(c, a).Get(c))(t); at[1] == 0 {
		t.Error("no address")
	}
}

type temperature float32

type weather struct {
	Name string
	Days map[string]api.Array[temperature]
	None api.Array[int]
}

var echoWeather = api.Func1(echo[weather], api.RegisterAs("echo weather"))

func TestArraysInsideValues(t *testing.T) {
	c := start(t)
	s := []temperature{1, 2, 3}
	a := must(api.ArrayOf(c, s))(t)
	defer a.Release()
	s[0] = 9
	empty := must(api.ArrayOf(c, []temperature{}))(t)
	got, err := echoWeather.Remote(c, weather{"w", map[string]api.Array[temperature]{"mon": a, "tue": empty}, api.Array[int]{}}).Get(c)
	if err != nil {
		t.Fatal(err)
	}
	mon := got.Days["mon"]
	if mon.Len() != 3 || mon.Data()[0] != 1 || got.Days["tue"].Len() != 0 || got.None.Len() != 0 || got.None.Data() != nil {
		t.Errorf("%v", mon.Data())
	}
}

func TestArrayAfterRelease(t *testing.T) {
	c := start(t)
	a := must(api.ArrayOf(c, []int{1}))(t)
	ref := must(api.Put(c, a))(t)
	a.Release()
	a.Release()
	if err := panicOf(func() { a.Data() }); err == nil || !strings.Contains(err.Error(), "released") {
		t.Errorf("Data after Release: %v", err)
	}
	if _, err := api.Put(c, a); err == nil || !strings.Contains(err.Error(), "released") {
		t.Errorf("Put after Release: %v", err)
	}
	if a.Len() != 1 {
		t.Error("a released Array forgot its length")
	}
	if b := must(ref.Get(c))(t); b.Data()[0] != 1 {
		t.Error("the object is gone")
	}
	never := must(api.NewArray[int](c, 5))(t)
	never.Release()
	if err := panicOf(func() { never.Data() }); err == nil {
		t.Error("an unsealed Array lives after Release")
	}
	for _, n := range []int{-1, 1 << 50} {
		if _, err := api.NewArray[int](c, n); err == nil {
			t.Errorf("an Array of %d", n)
		}
	}
	var oom *api.OutOfMemoryError
	if _, err := api.NewArray[int](c, 1<<30); !errors.As(err, &oom) {
		t.Errorf("an Array larger than the store: %v", err)
	}
}

func TestForgottenArraysGiveTheirMemoryBack(t *testing.T) {
	c := start(t)
	end := time.Now().Add(within)
	for i := 0; i < 40; i++ { // 40 times 8 MiB do not fit into 64
		a, err := api.NewArray[int64](c, 1<<20)
		if err != nil {
			t.Fatal(i, err)
		}
		a.Data()[0] = int64(i)
		ref := must(api.Put(c, a))(t)
		if got := must(ref.Get(c))(t); got.Data()[0] != int64(i) || time.Now().After(end) {
			t.Fatal(i, got.Data()[0])
		}
		if i%4 == 3 {
			runtime.GC()
		}
	}
}
