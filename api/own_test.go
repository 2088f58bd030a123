package api_test

import (
	"context"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/api"
)

// keeper is an actor that keeps what it is given and writes to it.
type keeper struct{ kept map[string]any }

var newKeeper = api.Class0(func(context.Context) (*keeper, error) { return &keeper{map[string]any{}}, nil }, api.RegisterAs("new keeper"))

// kind is a kind of values: how one is made, what a user may write to it, and whether it is as it was made.
type kind[T any] struct {
	make  func(c context.Context) (T, error)
	spoil func(v *T)
	good  func(c context.Context, v T) bool
	// sealed says that writing is what panics, and that it would end this process outside of a task.
	sealed bool
}

type (
	everything struct {
		N    int
		Text string
		List []int
		By   map[string]int
		To   *int
		Deep []struct{ In map[int][]string }
	}
	boxed struct {
		Ref api.Ref[[]int]
		Arr api.Array[int32]
	}
)

func like[T any](v func() T) (func(context.Context) (T, error), func(context.Context, T) bool) {
	return func(context.Context) (T, error) { return v(), nil }, func(_ context.Context, got T) bool { return reflect.DeepEqual(got, v()) }
}

func plainKind[T any](v func() T, spoil func(*T)) kind[T] {
	m, good := like(v)
	return kind[T]{make: m, good: good, spoil: spoil}
}

// owners are the tests of each kind, by name.
var owners map[string]ownTest

// ownTest has an actor, and tasks with the same placement.
type ownTest func(t *testing.T, c context.Context, k api.Actor[keeper], opts []api.TaskOption)

func init() { // after the types that interfaces may hold
	owners = map[string]ownTest{
		"pointer-free": owning("pointer-free", plainKind(func() point { return point{1, 2} }, func(v *point) { v.X = 9 })),
		"string":       owning("string", plainKind(func() string { return strings.Repeat("text", 3) }, func(v *string) { *v += "!" })),
		"slice":        owning("slice", plainKind(func() []int { return []int{1, 2, 3} }, func(v *[]int) { (*v)[0] = 9; *v = append((*v)[:1], 8) })),
		"large slice":  owning("large slice", plainKind(func() []byte { return make([]byte, 100<<10) }, func(v *[]byte) { (*v)[50<<10] = 9 })),
		"slices":       owning("slices", plainKind(func() [][]string { return [][]string{{"a"}, {"b"}} }, func(v *[][]string) { (*v)[1][0] = "z" })),
		"map":          owning("map", plainKind(func() map[string]int { return map[string]int{"a": 1} }, func(v *map[string]int) { (*v)["a"] = 9; (*v)["b"] = 8 })),
		"pointer":      owning("pointer", plainKind(func() *int { return new(7) }, func(v **int) { **v = 9 })),
		"codec":        owning("codec", plainKind(func() *custom { return &custom{5} }, func(v **custom) { (*v).secret = 9 })),
		"interface":    owning("interface", plainKind(func() solid { return &square{2} }, func(v *solid) { (*v).(*square).A = 9 })),
		"struct": owning("struct", plainKind(func() everything {
			return everything{1, "text", []int{1}, map[string]int{"a": 1}, new(2), []struct{ In map[int][]string }{{map[int][]string{1: {"x"}}}}}
		}, func(v *everything) { v.N, v.List[0], v.By["a"], *v.To, v.Deep[0].In[1][0] = 9, 9, 9, 9, "z" })),
		"array": owning("array", kind[api.Array[int32]]{
			make:   func(c context.Context) (api.Array[int32], error) { return api.ArrayOf(c, make([]int32, 20_000)) },
			spoil:  func(v *api.Array[int32]) { v.Data()[7] = 9 },
			good:   func(_ context.Context, v api.Array[int32]) bool { return v.Len() == 20_000 && v.Data()[7] == 0 },
			sealed: true,
		}),
		"references inside": owning("references inside", kind[boxed]{
			make: func(c context.Context) (b boxed, err error) {
				if b.Ref, err = api.Put(c, []int{1, 2}); err == nil {
					b.Arr, err = api.ArrayOf(c, []int32{3, 4})
				}
				return b, err
			},
			spoil: func(v *boxed) { v.Arr.Data()[0] = 9 },
			good: func(c context.Context, v boxed) bool {
				ref, err := v.Ref.Get(c)
				ok := err == nil && slices.Equal(ref, []int{1, 2}) && slices.Equal(v.Arr.Data(), []int32{3, 4})
				if ok {
					ref[0] = 9 // a copy of its own, each time
				}
				return ok
			},
			sealed: true,
		}),
	}
}

// owning tests that nobody can write what another has: neither the caller of a task what the task got, nor the task
// what its caller or another task has, nor who gets a result what the next one gets.
func owning[T any](name string, of kind[T]) ownTest {
	take := api.MethodProc1(func(k *keeper, _ context.Context, v T) error { k.kept[name] = v; return nil }, api.RegisterAs("take "+name))
	give := api.Method0(func(k *keeper, _ context.Context) (T, error) { return k.kept[name].(T), nil }, api.RegisterAs("give "+name))
	spoil := api.MethodProc0(func(k *keeper, _ context.Context) error {
		v := k.kept[name].(T)
		of.spoil(&v)
		k.kept[name] = v
		return nil
	}, api.RegisterAs("spoil "+name))
	spoilArg := api.Proc1(func(_ context.Context, v T) error { of.spoil(&v); return nil }, api.RegisterAs("spoil argument "+name))
	return func(t *testing.T, c context.Context, k api.Actor[keeper], opts []api.TaskOption) {
		spoilArg := spoilArg.Options(opts...)
		check := func(what string, v T, err error) {
			t.Helper()
			if err != nil || !of.good(c, v) {
				t.Errorf("%s: another value, %v", what, err)
			}
		}
		spoils := func(err error) {
			t.Helper()
			if (err != nil) != of.sealed || of.sealed && !strings.Contains(err.Error(), "write to sealed object") {
				t.Errorf("writing to it: %v", err)
			}
		}
		mine := func(v *T) {
			if !of.sealed {
				of.spoil(v)
			}
		}
		v := must(of.make(c))(t)
		taken := take.Remote(c, k, v)
		mine(&v)
		must(taken.Get(c))(t)
		given := give.Remote(c, k)
		got, err := given.Get(c)
		check("given", got, err)
		spoils(second(spoil.Remote(c, k).Get(c)))
		check("got before the actor wrote to its own", got, nil)
		mine(&got)
		got, err = given.Get(c)
		check("got again", got, err)
		spoils(second(spoilArg.With(c, given).Get(c)))
		got, err = given.Get(c)
		check("got after a task wrote to its argument", got, err)

		v = must(of.make(c))(t)
		put := must(api.Put(c, v))(t)
		mine(&v)
		got, err = put.Get(c)
		check("put", got, err)
		mine(&got)
		must(take.With(c, k, put).Get(c))(t)
		spoils(second(spoil.Remote(c, k).Get(c)))
		spoils(second(spoilArg.With(c, put).Get(c)))
		got, err = put.Get(c)
		check("put, and written to by who took it", got, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestNobodyWritesWhatIsAnothers has the actor in this process, in a worker and on another node.
func TestNobodyWritesWhatIsAnothers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts worker processes")
	}
	dir := must(os.MkdirTemp("", "k"))(t)
	t.Cleanup(func() { os.RemoveAll(dir) })
	away := startNode(t, dir, "away", 32<<20)
	home, c := attachSmall(t, dir, 32<<20)
	for len(must(api.Nodes(c))(t)) < 2 { // ends with c
		runtime.Gosched()
	}
	for place, opts := range map[string][]api.TaskOption{
		"here":            nil,
		"in a worker":     {api.OnNode(api.NodeID(home.ID()), false)},
		"on another node": {api.OnNode(api.NodeID(away.ID()), false)},
	} {
		class := newKeeper
		for _, o := range opts {
			class = class.Options(o.(api.ClassOption))
		}
		k := class.Remote(c)
		if err := k.Ready(c); err != nil {
			t.Fatal(place, err)
		}
		for name, test := range owners {
			t.Run(place+"/"+name, func(t *testing.T) { test(t, c, k, opts) })
		}
		if err := k.Kill(c); err != nil {
			t.Error(err)
		}
	}
}
