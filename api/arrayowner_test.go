package api_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/kadrehq/kadre/api"
)

// maker is an actor that returns Arrays, which it may keep.
type maker struct{ kept api.Array[int64] }

func newMakerOf(context.Context) (*maker, error) { return &maker{}, nil }

func (m *maker) Keep(ctx context.Context, n int) (a api.Array[int64], err error) {
	if m.kept.Len() == 0 {
		m.kept, err = counted(ctx, n)
	}
	return m.kept, err
}

func (m *maker) Leave(context.Context) error { os.Exit(3); return nil }

var (
	newMaker    = api.Class0(newMakerOf)
	keepIn      = api.Method1((*maker).Keep)
	leaveMaker  = api.MethodProc0((*maker).Leave)
	echoNumbers = api.Func1(echo[api.Array[int64]], api.RegisterAs("echo numbers"))
)

// TestCalledArrayOutlivesItsActor reads what an actor gave whose process has ended since.
func TestCalledArrayOutlivesItsActor(t *testing.T) {
	c := startIsolated(t)
	const n = 10_000
	m := newMaker.Options(api.OwnProcess()).Remote(c)
	called := keepIn.Remote(c, m, n)
	if _, _, err := api.Wait(c, []api.Ref[api.Array[int64]]{called}); err != nil {
		t.Fatal(err)
	}
	var gone *api.ActorDiedError
	if _, err := leaveMaker.Remote(c, m).Get(c); !errors.As(err, &gone) {
		t.Fatal(err)
	}
	if a, err := called.Get(c); err != nil || a.Len() != n || a.Data()[n-1] != n-1 {
		t.Errorf("%d elements, %v", a.Len(), err)
	}
}

// TestArrayGivenTwiceIsNoCopy gives an Array to the same owner again.
func TestArrayGivenTwiceIsNoCopy(t *testing.T) {
	hereAndElsewhere(t, func(t *testing.T, c context.Context) {
		m := newMaker.Remote(c)
		const n = 50_000
		one := must(keepIn.Remote(c, m, n).Get(c))(t)
		two := must(keepIn.Remote(c, m, n).Get(c))(t)
		if &one.Data()[0] != &two.Data()[0] {
			t.Error("the second time it was a copy")
		}
	})
}

// TestNoArrayAndAnEmptyOne are not the same.
func TestNoArrayAndAnEmptyOne(t *testing.T) {
	hereAndElsewhere(t, func(t *testing.T, c context.Context) {
		empty := must(api.NewArray[int64](c, 0))(t)
		for _, v := range []api.Array[int64]{{}, empty} {
			want := v.Data() == nil
			one := must(echoNumbers.Remote(c, v).Get(c))(t)
			two := must(echoNumbers.With(c, must(api.Put(c, v))(t)).Get(c))(t)
			if (one.Data() == nil) != want || (two.Data() == nil) != want {
				t.Errorf("the zero Array: %v; it came back as %v and %v", want, one.Data() == nil, two.Data() == nil)
			}
		}
	})
}

// freeing frees what it is given a reference to.
func freeing(ctx context.Context, refs []api.Ref[[]byte]) error { return api.Free(ctx, refs...) }

var freeFunc = api.Proc1(freeing)

// TestFreeByABorrower has a task free what its caller made: what was put, small and large, and what a task made.
func TestFreeByABorrower(t *testing.T) {
	hereAndElsewhere(t, func(t *testing.T, c context.Context) {
		small, large := must(api.Put(c, random(100)))(t), must(api.Put(c, random(200<<10)))(t)
		result := echoBytes.Remote(c, random(10))
		if _, err := result.Get(c); err != nil {
			t.Fatal(err)
		}
		for i, r := range []api.Ref[[]byte]{small, large, result} {
			if _, err := freeFunc.Remote(c, []api.Ref[[]byte]{r}).Get(c); err != nil {
				t.Error(i, err)
			}
			var lost *api.ObjectLostError
			if _, err := r.Get(c); !errors.As(err, &lost) {
				t.Error(i, "freed, and still here:", err)
			}
		}
	})
}
