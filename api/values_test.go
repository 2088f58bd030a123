package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kadrehq/kadre/api"
)

type (
	point  struct{ X, Y float64 }
	nested struct {
		Name string
		Kids []*nested
		By   map[string]point
		At   time.Time
		Opt  *int
	}
	circle  struct{ R float64 }
	square  struct{ A float64 }
	solid   interface{ Area() float64 }
	scene   struct{ Items []solid }
	custom  struct{ secret int } // has a codec of its own
	packed  struct{ text string }
	celsius float64
)

func (c circle) Area() float64  { return c.R * c.R * math.Pi }
func (s *square) Area() float64 { return s.A * s.A }

func (p packed) MarshalBinary() ([]byte, error)  { return []byte(p.text), nil }
func (p *packed) UnmarshalBinary(b []byte) error { p.text = string(b); return nil }

var (
	_ = api.RegisterType[circle]()
	_ = api.RegisterType[*square]()
	_ = api.RegisterCodec(func(c custom) ([]byte, error) { return fmt.Appendf(nil, "%d", c.secret), nil },
		func(b []byte) (c custom, err error) { _, err = fmt.Sscan(string(b), &c.secret); return c, err })
)

func echo[T any](_ context.Context, v T) (T, error) { return v, nil }

// echoes are the kinds of values that cross.
var echoes = []func(*testing.T, context.Context, ...api.TaskOption){
	echoing("bool", true, false),
	echoing("int", 0, 1, -1, math.MinInt, math.MaxInt),
	echoing[int8]("int8", math.MinInt8),
	echoing[uint64]("uint64", math.MaxUint64),
	echoing("float64", 0, -0.5, math.Inf(1), math.SmallestNonzeroFloat64),
	echoing("complex128", 1+2i),
	echoing[celsius]("named float", 36.6),
	echoing("string", "", "text", "\x00\xff no UTF-8", strings.Repeat("long ", 1e5)),
	echoing("bytes", nil, []byte{}, []byte("bytes"), bytes.Repeat([]byte{7}, 1<<20)),
	echoing("ints", nil, []int{}, []int{1, 2, 3}),
	echoing("strings", nil, []string{}, []string{"", "a", "b"}),
	echoing("slices", [][]int{nil, {}, {1}}),
	echoing("array", [3]string{"a", "", "c"}),
	echoing("point", point{1, math.Pi}),
	echoing("points", []point{{1, 2}, {3, 4}}),
	echoing("map", nil, map[string][]int{}, map[string][]int{"a": nil, "b": {1}}),
	echoing("struct key", map[point]bool{{1, 2}: true}),
	echoing("pointer", nil, new(5)),
	echoing("nested", nested{}, nested{Name: "root", Kids: []*nested{nil, {Name: "kid", Opt: new(0)}},
		By: map[string]point{"o": {}}, At: time.Date(2024, 2, 29, 23, 59, 59, 999999999, time.UTC)}),
	echoing("none", api.None{}),
	echoing("duration", time.Nanosecond),
	echoing[solid]("interface", nil, circle{2}, &square{3}),
	echoing("interfaces", scene{[]solid{circle{1}, nil, &square{2}}}),
	echoing("codec", custom{42}),
	echoing("codecs", map[string]*custom{"a": {1}, "b": nil}),
	echoing("binary marshaler", packed{"text"}),
}

// echoing tests that values come back as they were: from a task, as its argument and as the value of a
// reference, from Put, and twice.
func echoing[T any](name string, values ...T) func(*testing.T, context.Context, ...api.TaskOption) {
	registered := api.Func1(echo[T], api.RegisterAs("echo "+name))
	return func(t *testing.T, c context.Context, opts ...api.TaskOption) {
		f := registered.Options(opts...)
		for i, v := range values {
			same := func(how string, got T, err error) {
				t.Helper()
				if err != nil || !reflect.DeepEqual(got, v) {
					t.Errorf("%s %d, %s: %v, %v", name, i, how, short(got), err)
				}
			}
			ref := f.Remote(c, v)
			got, err := ref.Get(c)
			same("from a task", got, err)
			got, err = ref.Get(c)
			same("again", got, err)
			got, err = f.With(c, ref).Get(c)
			same("by reference", got, err)
			got, err = f.With(c, api.Value(v)).Get(c)
			same("by Value", got, err)
			put, err := api.Put(c, v)
			if err != nil {
				t.Errorf("%s %d: %v", name, i, err)
				continue
			}
			got, err = put.Get(c)
			same("from Put", got, err)
			got, err = f.With(c, put).Get(c)
			same("from Put, by reference", got, err)
		}
	}
}

func short(v any) string {
	s := fmt.Sprintf("%#v", v)
	return s[:min(len(s), 100)]
}

func TestValuesCross(t *testing.T) {
	c := start(t)
	for _, test := range echoes {
		test(t, c)
	}
}

func TestValuesCrossProcesses(t *testing.T) {
	c := startIsolated(t)
	for _, test := range echoes {
		test(t, c)
	}
}

func TestValuesCrossNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a worker process")
	}
	away, c := startPair(t, 64<<20)
	for _, test := range echoes {
		test(t, c, api.OnNode(api.NodeID(away.ID()), false))
	}
}

var echoProto = api.Func1(echo[[]*durationpb.Duration], api.RegisterAs("echo protobuf"))

// TestMessagesCross has messages of protobuf, which carry a state of their own that two of them do not share.
func TestMessagesCross(t *testing.T) {
	hereAndElsewhere(t, func(t *testing.T, c context.Context) {
		d := durationpb.New(90*time.Second + 7)
		for _, how := range []func() ([]*durationpb.Duration, error){
			func() ([]*durationpb.Duration, error) {
				return echoProto.Remote(c, []*durationpb.Duration{d, nil}).Get(c)
			},
			func() ([]*durationpb.Duration, error) {
				return must(api.Put(c, []*durationpb.Duration{d, nil}))(t).Get(c)
			},
		} {
			got, err := how()
			if err != nil || len(got) != 2 || got[0] == d || !proto.Equal(got[0], d) || got[1] != nil {
				t.Errorf("%v, %v", got, err)
			}
		}
	})
}

var echoTime = api.Func1(echo[time.Time], api.RegisterAs("echo time"))

func TestTimesKeepNanosecondsAndZone(t *testing.T) {
	c := start(t)
	v := time.Date(2026, 7, 1, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	got, err := echoTime.Remote(c, v).Get(c)
	_, off := got.Zone()
	if err != nil || !got.Equal(v) || off != 3600 {
		t.Errorf("%v, %v", got, err)
	}
}

type list struct{ Next *list }

var echoList = api.Func1(echo[*list], api.RegisterAs("echo list"))

func TestValuesThatCannotCross(t *testing.T) {
	c := start(t)
	loop := &list{}
	loop.Next = loop
	_, err := echoList.Remote(c, loop).Get(c)
	if err == nil || !strings.Contains(err.Error(), "argument 1 of echo list") || !strings.Contains(err.Error(), "nested deeper") {
		t.Error(err)
	}
	if _, err := api.Put(c, loop); err == nil {
		t.Error("a cycle was put")
	}
	if _, err := api.Put(c, make(chan int)); err == nil || !strings.Contains(err.Error(), "is a channel") {
		t.Error(err)
	}
	if _, err := api.Put(c, scene{[]solid{unknown{}}}); err == nil || !strings.Contains(err.Error(), "api.RegisterType") {
		t.Error(err)
	}
}

type unknown struct{}

func (unknown) Area() float64 { return 0 }

// Nobody can write another's memory.

func overwrite(_ context.Context, s []int, m map[string]*int) ([]int, error) {
	s[0] = 99
	*m["a"] = 99
	return s, nil
}

var overwriteFunc = api.Func2(overwrite)

func TestNobodySharesMemory(t *testing.T) {
	c := start(t)
	s, m := []int{1, 2}, map[string]*int{"a": new(1)}
	got, err := overwriteFunc.Remote(c, s, m).Get(c)
	if err != nil || got[0] != 99 {
		t.Fatal(got, err)
	}
	if s[0] != 1 || *m["a"] != 1 {
		t.Errorf("a task wrote its caller's memory: %v", s)
	}
	put, err := api.Put(c, s)
	if err != nil {
		t.Fatal(err)
	}
	s[1] = 77
	one := must(put.Get(c))(t)
	one[0] = 55
	if two := must(put.Get(c))(t); !reflect.DeepEqual(two, []int{1, 2}) {
		t.Errorf("an object changed: %v", two)
	}
	ref := overwriteFunc.With(c, put, api.Value(m))
	must(ref.Get(c))(t)[1] = 44
	if again := must(ref.Get(c))(t); !reflect.DeepEqual(again, []int{99, 2}) {
		t.Errorf("a result changed: %v", again)
	}
	if two := must(put.Get(c))(t); !reflect.DeepEqual(two, []int{1, 2}) {
		t.Errorf("a task changed an object: %v", two)
	}
}

func TestArgumentsAreTakenAtTheCall(t *testing.T) {
	c := start(t)
	g, open := gate()
	s := []int{1}
	ref := sumAfter.With(c, waitFunc.Remote(c, g), api.Value(s))
	s[0] = 5
	open()
	if got := must(ref.Get(c))(t); got != 1 {
		t.Errorf("got %d", got)
	}
}

func sumSecond(_ context.Context, _ int, s []int) (n int, err error) {
	for _, x := range s {
		n += x
	}
	return n, nil
}

var sumAfter = api.Func2(sumSecond)

// References inside values.

type holder struct {
	One  api.Ref[int]
	Many map[string][]api.Ref[int]
	On   api.Actor[counter]
}

func open1(ctx context.Context, h holder) (int, error) {
	if !h.Many["zero"][0].IsZero() {
		return 0, errors.New("a zero Ref became another")
	}
	a, err := h.One.Get(ctx)
	if err != nil {
		return 0, err
	}
	b, err := add.Remote(ctx, h.On, a).Get(ctx)
	if err != nil {
		return 0, err
	}
	all, err := api.GetAll(ctx, h.Many["some"])
	return a + b + all[0] + all[1], err
}

var openFunc = api.Func1(open1)
var echoHolder = api.Func1(echo[holder], api.RegisterAs("echo holder"))

func TestRefsInsideValues(t *testing.T) {
	c := start(t)
	testRefsInside(t, c)
}

func TestRefsInsideValuesOfOtherProcesses(t *testing.T) {
	testRefsInside(t, startIsolated(t))
}

func TestRefsInsideValuesOfOtherNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a worker process")
	}
	away, c := startPair(t, 64<<20)
	testRefsInside(t, c, api.OnNode(api.NodeID(away.ID()), false))
}

func testRefsInside(t *testing.T, c context.Context, opts ...api.TaskOption) {
	openFunc, echoHolder := openFunc.Options(opts...), echoHolder.Options(opts...)
	put := must(api.Put(c, 5))(t)
	h := holder{squareFunc.Remote(c, 3), map[string][]api.Ref[int]{"zero": {{}}, "some": {put, squareFunc.Remote(c, 2)}}, newCounter.Remote(c)}
	if got, err := openFunc.Remote(c, h).Get(c); err != nil || got != 9+9+5+4 {
		t.Errorf("%d, %v", got, err)
	}
	back, err := echoHolder.Remote(c, h).Get(c)
	if err != nil {
		t.Fatal(err)
	}
	if back.One != h.One || back.On != h.On || back.Many["some"][0] != put || back.One.ID() != h.One.ID() {
		t.Errorf("%v came back as %v", h, back)
	}
	if got, err := add.Remote(c, back.On, 1).Get(c); err != nil || got != 10 {
		t.Errorf("%d, %v", got, err)
	}
	box := must(api.Put(c, h))(t)
	if got := must(box.Get(c))(t); got.One != h.One {
		t.Errorf("%v was put and is %v", h.One, got.One)
	}
}
