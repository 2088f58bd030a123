package api_test

import (
	"context"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/api"
)

func twice(_ context.Context, n int) (int, error)         { return 2 * n, nil }
func sendTo(context.Context, withChan) error              { return nil }
func getFunc(context.Context) (func(), error)             { return nil, nil }
func hidden(context.Context, withHidden) error            { return nil }
func marked(context.Context, []withMark) error            { return nil }
func anyShape(context.Context, map[string]shape) error    { return nil }
func generic[T any](context.Context, T) error             { return nil }
func (s *st) Value(context.Context) error                 { return nil }
func newChan(context.Context, chan int) (*st, error)      { return nil, nil }
func (s *st) Chan(context.Context, int) (chan int, error) { return nil, nil }
func (s *st) Again(context.Context) error                 { return nil }
func funcOne(_ context.Context) (int, error)              { return 1, nil }
func func1(_ context.Context) (int, error)                { return 1, nil }

type (
	withChan   struct{ Inner struct{ Out chan int } }
	withHidden struct {
		Name   string
		secret int
	}
	withMark struct {
		Token string `json:"-"`
	}
	shape interface{ Area() float64 }
)

var (
	_ = api.Func1(twice)
	_ = api.MethodProc0((*st).Again)
	_ = withHidden{}.secret

	// Names that only look like those of literals.
	_ = api.Func0(funcOne)
	_ = api.Func0(func1)

	// A literal, a method value and an instance with a name of their own.
	_ = api.Proc0(func(context.Context) error { return nil }, api.RegisterAs("literal"))
	_ = api.Proc0((&st{}).Value, api.RegisterAs("method value"))
	_ = api.Proc1(generic[int], api.RegisterAs("generic int"))

	// What registering refuses; it has to be tried before Init.
	refused = []struct {
		err  error
		want []string
	}{
		{panicOf(func() { api.Func1(twice) }), []string{"two registrations of github.com/kadrehq/kadre/api_test.twice",
			"at github.com/kadrehq/kadre/api_test register_test.go:", "and at github.com/kadrehq/kadre/api_test register_test.go:", "api.RegisterAs"}},
		{panicOf(func() { api.MethodProc0((*st).Again) }), []string{"two registrations of github.com/kadrehq/kadre/api_test.(*st).Again"}},
		{panicOf(func() { api.Proc0(func(context.Context) error { return nil }) }), []string{"no stable symbol", "api.RegisterAs", "register_test.go:"}},
		{panicOf(func() { api.Proc0((&st{}).Value) }), []string{"no stable symbol"}},
		{panicOf(func() { api.Proc1(generic[string]) }), []string{"no stable symbol"}},
		{panicOf(func() { api.Proc1[int](nil) }), []string{"nil function", "register_test.go:"}},
		{panicOf(func() { api.Proc1(sendTo) }), []string{"argument 1 of github.com/kadrehq/kadre/api_test.sendTo", "register_test.go:", "Inner.Out is a channel"}},
		{panicOf(func() { api.Func0(getFunc) }), []string{"result of github.com/kadrehq/kadre/api_test.getFunc", "is a function"}},
		{panicOf(func() { api.Proc1(hidden) }), []string{"field secret is unexported", "api.RegisterCodec"}},
		{panicOf(func() { api.Proc1(marked) }), []string{"Token is marked `json:\"-\"`"}},
		{panicOf(func() { api.Proc1(anyShape) }), []string{"is an interface (api_test.shape)", "api.RegisterType"}},
		{panicOf(func() { api.Class1(newChan) }), []string{"argument 1", "is a channel"}},
		{panicOf(func() { api.Method1((*st).Chan) }), []string{"result of", "is a channel"}},
		{panicOf(func() { api.RegisterType[shape]() }), []string{"RegisterType", "is an interface"}},
		{panicOf(func() { api.RegisterType[chan int]() }), []string{"is a channel"}},
	}
)

func TestRegisteringRefuses(t *testing.T) {
	for i, r := range refused {
		for _, want := range r.want {
			if r.err == nil || !strings.Contains(r.err.Error(), want) {
				t.Errorf("case %d: %v does not say %q", i, r.err, want)
			}
		}
	}
}

func TestRegisteringEndsWithInit(t *testing.T) {
	start(t)
	for what, f := range map[string]func(){
		"Func":         func() { api.Proc0(func(context.Context) error { return nil }, api.RegisterAs("late")) },
		"Class":        func() { api.Class0(func(context.Context) (*st, error) { return nil, nil }, api.RegisterAs("late")) },
		"Method":       func() { api.MethodProc0((*st).Again, api.RegisterAs("late")) },
		"RegisterType": func() { api.RegisterType[int]() },
		"RegisterCodec": func() {
			api.RegisterCodec(func(int) ([]byte, error) { return nil, nil }, func([]byte) (int, error) { return 0, nil })
		},
	} {
		if err := panicOf(f); err == nil || !strings.Contains(err.Error(), "after Init") || !strings.Contains(err.Error(), "register_test.go:") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
