package api_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

var gatedFunc = api.Func1(gatedAt)

// gatedAt is waitAt as a function that is never known to be short: who gets many at once runs those himself.
func gatedAt(ctx context.Context, n int) (int, error) {
	n, err := waitAt(ctx, n)
	time.Sleep(time.Millisecond)
	return n, err
}

func TestGetAll(t *testing.T) {
	c := start(t)
	refs := make([]api.Ref[int], 1000)
	for i := range refs {
		refs[i] = squareFunc.Remote(c, i)
	}
	for i, v := range must(api.GetAll(c, refs))(t) {
		if v != i*i {
			t.Fatalf("%d: %d", i, v)
		}
	}
	if vs, err := api.GetAll(c, []api.Ref[int]{}); len(vs) != 0 || err != nil {
		t.Error(vs, err)
	}
	g, open := gate()
	defer open()
	mixed := []api.Ref[int]{gatedFunc.Remote(c, g), failFunc.Remote(c, "EOF"), refs[0]}
	vs, err := api.GetAll(c, mixed)
	if vs != nil || !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "ref 1:") {
		t.Error(vs, err)
	}
	vs, err = api.GetAll(c, []api.Ref[int]{failFunc.Remote(c, "EOF"), gatedFunc.Remote(c, g)}) // the one that fails first is not the last
	if vs != nil || !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "ref 0:") {
		t.Error(vs, err)
	}
	open()
	if _, err := mixed[0].Get(c); err != nil {
		t.Errorf("the rest did not keep running: %v", err)
	}
}

func TestWait(t *testing.T) {
	c := start(t)
	g, open := gate()
	defer open()
	done := []api.Ref[int]{squareFunc.Remote(c, 1), squareFunc.Remote(c, 2), failFunc.Remote(c, "EOF")}
	refs := []api.Ref[int]{waitFunc.Remote(c, g), done[0], waitFunc.Remote(c, g), done[1], done[2]}
	api.GetAll(c, done)
	for _, d := range done {
		d.Get(c)
	}
	check := func(ready, rest []api.Ref[int], err error) func(wantReady, wantRest []int) {
		return func(wantReady, wantRest []int) {
			t.Helper()
			index := func(rs []api.Ref[int]) (is []int) {
				for _, r := range rs {
					is = append(is, slices.Index(refs, r))
				}
				return is
			}
			if err != nil || !slices.Equal(index(ready), wantReady) || !slices.Equal(index(rest), wantRest) {
				t.Errorf("%v, %v, %v", index(ready), index(rest), err)
			}
		}
	}
	check(api.Wait(c, refs))([]int{1}, []int{0, 2, 3, 4})
	check(api.Wait(c, refs, api.NumReturns(2)))([]int{1, 3}, []int{0, 2, 4})
	check(api.Wait(c, refs, api.NumReturns(3)))([]int{1, 3, 4}, []int{0, 2})
	check(api.Wait(c, refs, api.NumReturns(5), api.WithTimeout(0)))([]int{1, 3, 4}, []int{0, 2})
	check(api.Wait(c, refs, api.NumReturns(5), api.WithTimeout(time.Millisecond)))([]int{1, 3, 4}, []int{0, 2})
	check(api.Wait(c, refs, api.NumReturns(0)))(nil, []int{0, 1, 2, 3, 4})
	check(api.Wait(c, refs[:0]))(nil, nil)
	brief, cancel := context.WithTimeout(c, time.Millisecond)
	defer cancel()
	if _, _, err := api.Wait(brief, refs, api.NumReturns(4)); err != context.DeadlineExceeded {
		t.Error(err)
	}
	if _, _, err := api.Wait(c, refs, api.NumReturns(-1)); err == nil {
		t.Error("NumReturns(-1) was taken")
	}
	open()
	check(api.Wait(c, refs, api.NumReturns(9)))([]int{0, 1, 2, 3, 4}, nil)
}

func TestCompleted(t *testing.T) {
	c := start(t)
	g, open := gate()
	h, openSecond := gate()
	defer openSecond()
	defer open()
	refs := []api.Ref[int]{waitFunc.Remote(c, h), waitFunc.Remote(c, g), squareFunc.Remote(c, 3)}
	var order []int
	for i, ref := range api.Completed(c, refs) {
		if ref != refs[i] {
			t.Error("the index is another's")
		}
		order = append(order, i)
		if i == 2 {
			open()
		} else {
			openSecond()
		}
	}
	if !slices.Equal(order, []int{2, 1, 0}) {
		t.Error(order)
	}
	for i := range api.Completed(c, refs) {
		_ = i
		break
	}
	brief, cancel := context.WithCancel(c)
	cancel()
	never, openNever := gate()
	defer openNever()
	for range api.Completed(brief, []api.Ref[int]{waitFunc.Remote(c, never)}) {
		t.Error("a task completed that waits")
	}
}

func TestFree(t *testing.T) {
	c := start(t)
	ref := must(api.Put(c, make([]byte, 1<<20)))(t)
	if err := api.Free(c, ref); err != nil {
		t.Fatal(err)
	}
	var lost *api.ObjectLostError
	if _, err := ref.Get(c); !errors.As(err, &lost) {
		t.Error(err)
	}
	if err := api.Free(c, ref); err != nil {
		t.Error(err)
	}
}
