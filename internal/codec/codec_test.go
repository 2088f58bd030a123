package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kadrehq/kadre/internal/invariant"
)

func TestMain(m *testing.M) {
	for _, err := range []error{
		RegisterType[square](), RegisterType[*circle](), RegisterType[group](), RegisterType[int](), RegisterType[[]byte](),
		RegisterCodec(func(v big.Int) ([]byte, error) { return v.GobEncode() },
			func(b []byte) (v big.Int, err error) { err = v.GobDecode(b); return v, err }),
	} {
		if err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

type (
	pair   struct{ A, B int }
	shape  interface{ area() float64 }
	square struct{ Side float64 }
	circle struct{ R float64 }
	group  struct{ Shapes []shape }
	list   struct {
		V, W int
		Next *list
	}
	nest  []nest
	weird map[string]weird
	blob  []byte
	gap   struct {
		A int8
		B int64
		C bool
	}
	blank    struct{ _ [8]byte }
	base     struct{ ID int }
	embedded struct {
		base
		Name string
	}
	stamped struct {
		time.Time
		Note string
	}
	event struct {
		At   time.Time
		What string
	}
	mixed struct {
		I    int
		U    uint8
		F    float32
		C    complex128
		B    bool
		S    string
		Bs   []byte
		Is   []int32
		Ss   []string
		P    *pair
		PP   **int
		M    map[string][]int
		MP   map[pair]*mixed
		A    [3]string
		AB   [4]bool
		Any  any
		Sh   shape
		_    int
		Skip struct{}
		Es   []struct{}
		Fs   []bool
		G    []gap
		Bl   []blank
		//lint:ignore SA5008 json takes this for the name "-", and so do we
		Tag int `json:"-,"`
		Sub struct{ X, Y []embedded }
	}
	tagged struct { // readers that ignore case mix them up
		A int `json:"x"`
		B int `json:"X"`
	}
)

func (s square) area() float64  { return s.Side * s.Side }
func (c *circle) area() float64 { return 3 * c.R * c.R }
func (g group) area() (a float64) {
	for _, s := range g.Shapes {
		a += s.area()
	}
	return a
}

// trip encodes v in each way and decodes it.
func trip[T any](t *testing.T, v T) T {
	t.Helper()
	p, err := PlanOf[T]()
	if err != nil {
		t.Fatal(err)
	}
	e, err := EncodeValue(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	data := e.Bytes()
	copied := make([]byte, e.Len()+1)
	if e.CopyTo(copied); !bytes.Equal(copied[:e.Len()], data) {
		t.Fatal("CopyTo and Bytes differ")
	}
	app, _, _, err := p.AppendEncode(nil, []byte("x"), unsafe.Pointer(&v))
	if err != nil || !bytes.Equal(app[1:], data) {
		t.Fatalf("AppendEncode: %d bytes instead of 1+%d, or others: %v", len(app), len(data), err)
	}
	if _, err := DecodeValue[T](nil, app[1:]); err != nil {
		t.Fatal(err)
	}
	out, err := DecodeValue[T](nil, data)
	if err != nil {
		t.Fatal(err)
	}
	clear(data) // nothing may alias it
	return out
}

func same[T any](v T) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		if got := trip(t, v); !reflect.DeepEqual(got, v) {
			t.Fatalf("got  %#v\nsent %#v", got, v)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	n := 7
	np := &n
	full := mixed{I: -1, U: 2, F: 1.5, C: 1i, B: true, S: "s", Bs: []byte("bytes"), Is: []int32{1, -2}, Ss: []string{"a", "", "ccc"},
		P: &pair{1, 2}, PP: &np, M: map[string][]int{"x": {1}, "y": nil, "z": {}}, MP: map[pair]*mixed{{1, 2}: {I: 3}, {3, 4}: nil},
		A: [3]string{"p", "q"}, AB: [4]bool{true, false, true}, Any: []byte("any"), Sh: &circle{2}, Es: make([]struct{}, 3),
		Fs: []bool{true, false}, G: []gap{{1, 2, true}}, Bl: make([]blank, 5), Tag: 9}
	full.Sub.X = []embedded{{base{1}, "one"}}
	var nilErr *pair
	tests := map[string]func(*testing.T){
		"int": same(-5), "bool": same(true), "float": same(1.25), "array": same([3]uint16{1, 2, 3}), "bools": same([]bool{true, false}),
		"string": same("héllo"), "no string": same(""), "raw struct": same(pair{1, 2}), "raw slice": same([]pair{{1, 2}, {3, 4}}),
		"bytes": same([]byte("abc")), "named bytes": same(blob("abc")), "no bytes": same([]byte{}), "nil bytes": same([]byte(nil)),
		"nil slice": same([]float64(nil)), "empty slice": same([]float64{}), "strings": same([]string{"a", "", "c"}),
		"nil strings": same([]string(nil)), "empty strings": same([]string{}), "nil map": same(map[int]int(nil)), "empty map": same(map[int]int{}),
		"map": same(map[string]int{"a": 1, "b": 2}), "nil pointer": same(nilErr), "pointer": same(&pair{1, 2}), "struct{}": same(struct{}{}),
		"nothings": same(make([]struct{}, 1000)), "zero array": same([0]string{}), "blanks": same(make([]blank, 3)), "gap": same(gap{1, 2, true}),
		"zero": same(mixed{}), "full": same(full), "big": same(bytes.Repeat([]byte("0123456789"), 1<<17)), "any nil": same([]any{nil, 1}),
		"big tree": same([]string{strings.Repeat("x", 1<<20), "y"}), "recursive slice": same(nest{{}, {{}, nil}}),
		"recursive map": same(weird{"a": {"b": nil}, "c": {}}), "list": same(list{1, 0, &list{2, 0, nil}}), "interface": same[shape](square{2}),
		"interfaces": same(group{[]shape{square{1}, &circle{2}, nil, group{[]shape{}}}}), "tagged": same(tagged{1, 2}), "embedded": same(embedded{base{1}, "x"}),
		"many": same(make([]list, 10_000)),
	}
	for name, f := range tests {
		t.Run(name, f)
	}
}

func TestCustom(t *testing.T) {
	t.Run("addr", same([]netip.Addr{netip.MustParseAddr("10.0.0.1"), {}}))
	u, _ := url.Parse("https://a.b/c?d=e")
	t.Run("url", same(u))
	t.Run("registered", func(t *testing.T) {
		n := new(big.Int).Lsh(big.NewInt(-3), 200)
		if got := trip(t, map[string]*big.Int{"n": n, "nil": nil}); got["n"].Cmp(n) != 0 || got["nil"] != nil {
			t.Fatal(got)
		}
	})
	t.Run("protobuf", func(t *testing.T) {
		d := durationpb.New(90 * time.Second)
		if got := trip(t, []*durationpb.Duration{d, nil}); !proto.Equal(got[0], d) || got[1] != nil {
			t.Fatal(got)
		}
	})
	t.Run("late codec", func(t *testing.T) {
		if _, err := PlanOf[pair](); err != nil {
			t.Fatal(err)
		}
		err := RegisterCodec(func(pair) ([]byte, error) { return nil, nil }, func([]byte) (p pair, err error) { return p, nil })
		want := "codec: cannot carry codec.pair: it is in use without the codec; register codecs before functions and values"
		if err == nil || err.Error() != want {
			t.Fatal(err)
		}
	})
	t.Run("failing", func(t *testing.T) {
		type holder struct{ F []failing }
		_, err := EncodeValue(nil, holder{[]failing{{}, {N: 1}}})
		if want := "codec: cannot carry codec.holder: field F[1] failed in its own codec: no ones"; err == nil || err.Error() != want || !errors.Is(err, errOne) {
			t.Fatal(err)
		}
		data, _ := EncodeValue(nil, holder{[]failing{{N: 2}}})
		_, err = DecodeValue[holder](nil, data.Bytes())
		if want := "codec: cannot read codec.holder: field F[0] failed in its own codec: no ones"; err == nil || err.Error() != want || !errors.Is(err, errOne) {
			t.Fatal(err)
		}
	})
}

var errOne = errors.New("no ones")

type failing struct{ N byte }

func (f failing) MarshalBinary() ([]byte, error) {
	if f.N == 1 {
		return nil, errOne
	}
	return []byte{f.N}, nil
}

func (f *failing) UnmarshalBinary(b []byte) error {
	if b[0] == 2 {
		return errOne
	}
	f.N = b[0]
	return nil
}

func TestTimes(t *testing.T) {
	now := time.Now()
	zone := time.FixedZone("", 5*3600+1800)
	for _, v := range []time.Time{{}, now, now.UTC(), now.In(zone), time.Unix(-1, 999_999_999).In(zone), time.Unix(1<<40, 1)} {
		got := trip(t, event{v, "x"}).At
		_, a := got.Zone()
		_, b := v.Zone()
		if !got.Equal(v) || a != b || got.Nanosecond() != v.Nanosecond() || got.IsZero() != v.IsZero() || (v.Location() == time.UTC) != (got.Location() == time.UTC) {
			t.Errorf("got %v, sent %v", got, v)
		}
		if got != got.Round(0) {
			t.Errorf("%v kept its monotonic clock", got)
		}
	}
	// The methods that stamped has from time.Time know nothing of Note.
	if got := trip(t, stamped{now.UTC().Round(0), "note"}); got.Note != "note" || !got.Equal(now) {
		t.Errorf("got %v", got)
	}
}

func TestRefused(t *testing.T) {
	type deep struct {
		Bar struct{ Kids []map[string]*[2]chan int }
	}
	type hidden struct{ Out struct{ in int } }
	type dashed struct {
		A int `json:"-"`
	}
	type locked struct {
		Mu sync.Mutex
		N  int
	}
	type unregistered interface{ nobody() }
	const fix = "a codec: methods MarshalBinary and UnmarshalBinary, or api.RegisterCodec"
	tests := []struct {
		t    reflect.Type
		want string
	}{
		{reflect.TypeFor[deep](), "codec.deep: field Bar.Kids[][value][] is a channel; return values, or use a stream or an actor"},
		{reflect.TypeFor[func()](), "func(): it is a function; register it as a remote function and pass what it needs"},
		{reflect.TypeFor[[]uintptr](), "[]uintptr: element [] is an address (uintptr), which means nothing in another process; pass what it points to"},
		{reflect.TypeFor[unsafe.Pointer](), "unsafe.Pointer: it is an address (unsafe.Pointer), which means nothing in another process; pass what it points to"},
		{reflect.TypeFor[hidden](), "codec.hidden: field Out.in is unexported; export it, or give struct { in int } " + fix},
		{reflect.TypeFor[map[chan int]int](), "map[chan int]int: element [key] is a channel; return values, or use a stream or an actor"},
		{reflect.TypeFor[dashed](), "codec.dashed: field A is marked `json:\"-\"`; remove the mark, or give codec.dashed " + fix},
		{reflect.TypeFor[unregistered](), "codec.unregistered: it is an interface (codec.unregistered) and no type that implements it is registered; call api.RegisterType for each type it may hold"},
		{reflect.TypeFor[*big.Float](), "*big.Float: field prec is unexported; export it, or give big.Float " + fix},
	}
	for _, tt := range tests {
		for range 2 { // the second time as the first
			_, err := PlanFor(tt.t)
			if want := "codec: cannot carry " + tt.want; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %v", err, want)
			}
		}
	}
	_, err := PlanOf[locked]()
	var er *Error
	if !errors.As(err, &er) || er.Type != reflect.TypeFor[locked]() || !strings.HasPrefix(er.Path, "Mu.") {
		t.Errorf("got %v", err)
	}
	if _, err := PlanFor(nil); err == nil {
		t.Error("no type has a plan")
	}
	if err := RegisterType[chan int](); err == nil {
		t.Error("a channel was registered")
	}
	if err := RegisterType[shape](); err == nil {
		t.Error("an interface was registered")
	}
}

func TestInterfaces(t *testing.T) {
	_, err := EncodeValue(nil, group{[]shape{square{1}, &square{2}}})
	want := "codec: cannot carry codec.group: field Shapes[1] holds a *codec.square, which is not registered; call api.RegisterType[*codec.square]() when the program starts"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
	// A number of a type that does not implement the interface, and one of no type.
	e, _ := EncodeValue[any](nil, 5)
	data := e.Bytes()
	p, _ := PlanOf[shape]()
	order.PutUint64(data[8:], p.hash)
	if _, err := DecodeValue[shape](nil, data); err == nil || !strings.Contains(err.Error(), "it is a codec.shape and cannot hold the int found") {
		t.Error(err)
	}
	order.PutUint64(data[HeadLen+1:], 1)
	if _, err := DecodeValue[shape](nil, data); err == nil || !strings.Contains(err.Error(), "number 0000000000000001, which is not registered here") {
		t.Error(err)
	}
	// A key that cannot be one.
	m, _ := EncodeValue(nil, []any{[]byte("k"), 1})
	data = m.Bytes()
	mp, _ := PlanOf[map[any]any]()
	order.PutUint64(data[8:], mp.hash)
	data[HeadLen] = 2 // one pair
	if _, err := DecodeValue[map[any]any](nil, data); err == nil || !strings.Contains(err.Error(), "element [key] holds a value that cannot be a key") {
		t.Error(err)
	}
}

func TestDepth(t *testing.T) {
	chain := func(n int) (l *list) {
		for range n {
			l = &list{Next: l}
		}
		return l
	}
	same(chain(MaxDepth))(t)
	_, err := EncodeValue(nil, chain(MaxDepth+1))
	if err == nil || !strings.HasSuffix(err.Error(), "… is nested deeper than 1000 levels; break the cycle, or keep long chains in a slice") || len(err.Error()) > 400 {
		t.Error(err)
	}
	ring := &list{}
	ring.Next = ring
	ws := weird{}
	ws["me"] = ws
	ns := make(nest, 1)
	ns[0] = ns
	var a any
	RegisterType[*any]()
	a = &a
	for _, err := range []error{encodeErr(ring), encodeErr(ws), encodeErr(ns), encodeErr(a)} {
		if err == nil || !strings.Contains(err.Error(), "break the cycle") {
			t.Error(err)
		}
	}
	// The same from outside: n levels of a slice of itself.
	p, _ := PlanOf[nest]()
	deep := append(appendHead(nil, formTree, 0, p.hash, nil, 5000), bytes.Repeat([]byte{2}, 5000)...)
	if _, err := DecodeValue[nest](nil, deep); err == nil || !strings.Contains(err.Error(), "is nested deeper than 1000 levels; the bytes are damaged") {
		t.Error(err)
	}
}

func encodeErr[T any](v T) error { _, err := EncodeValue(nil, v); return err }

func TestMismatch(t *testing.T) {
	type sent struct{ Mine, Yours int }
	type alike sent
	e, _ := EncodeValue(nil, sent{1, 2})
	if got, err := DecodeValue[alike](nil, e.Bytes()); err != nil || got != (alike{1, 2}) {
		t.Error(got, err)
	}
	_, err := DecodeValue[[2]int](nil, e.Bytes())
	if want := "codec: cannot read [2]int: it was written as codec.sent; read it as that type"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
	swapped := bytes.Clone(e.Bytes())
	magic := binary.BigEndian.Uint32(swapped)
	binary.LittleEndian.PutUint32(swapped, magic)
	if _, err := DecodeValue[alike](nil, swapped); err == nil || !strings.Contains(err.Error(), "it starts with 0x6576644b instead of 0x4b647665") {
		t.Error(err)
	}
	for n := range e.Len() {
		if _, err := DecodeValue[alike](nil, e.Bytes()[:n]); err == nil {
			t.Errorf("%d of %d bytes were enough", n, e.Len())
		}
	}
	keys, _ := PlanOf[map[struct{}]struct{}]()
	same(map[struct{}]struct{}{{}: {}})(t)
	if _, err := DecodeValue[map[struct{}]struct{}](nil, append(appendHead(nil, formTree, 0, keys.hash, nil, 5), 255, 255, 255, 255, 15)); err == nil || !strings.Contains(err.Error(), "it has 4294967294 equal keys") {
		t.Error(err)
	}
	b, _ := EncodeValue(nil, []bool{true})
	bad := b.Bytes()
	bad[HeadLen] = 2
	if _, err := DecodeValue[[]bool](nil, bad); err == nil || !strings.Contains(err.Error(), "it has a bool of 2") {
		t.Error(err)
	}
}

func TestPlan(t *testing.T) {
	tests := []struct {
		t               reflect.Type
		immediate, refs bool
		form            form
	}{
		{reflect.TypeFor[int](), true, false, formRaw}, {reflect.TypeFor[pair](), true, false, formRaw},
		{reflect.TypeFor[string](), true, false, formText}, {reflect.TypeFor[gap](), true, false, formTree},
		{reflect.TypeFor[[2]string](), true, false, formTree}, {reflect.TypeFor[[]int](), false, false, formSlice},
		{reflect.TypeFor[[]struct{}](), false, false, formTree}, {reflect.TypeFor[*int](), false, false, formTree},
		{reflect.TypeFor[time.Time](), false, false, formTree}, {reflect.TypeFor[failing](), false, false, formTree},
		{reflect.TypeFor[any](), false, true, formTree}, {reflect.TypeFor[list](), false, false, formTree},
		{reflect.TypeFor[map[string][]fakeRef](), false, true, formTree}, {reflect.TypeFor[fakeArray](), false, true, formTop},
	}
	for _, tt := range tests {
		p, err := PlanFor(tt.t)
		if err != nil {
			t.Fatal(err)
		}
		if p.Type() != tt.t || p.Immediate() != tt.immediate || p.HasRefs() != tt.refs || p.form != tt.form {
			t.Errorf("%v: immediate %v, refs %v, form %d", tt.t, p.Immediate(), p.HasRefs(), p.form)
		}
	}
}

// TestAllocs holds the price of small values.
func TestAllocs(t *testing.T) {
	check := func(name string, encode, decode int, enc, dec func()) {
		if n := testing.AllocsPerRun(100, enc); n > float64(encode) && !invariant.Race {
			t.Errorf("encode %s: %v allocations, at most %d", name, n, encode)
		}
		if n := testing.AllocsPerRun(100, dec); n > float64(decode) && !invariant.Race {
			t.Errorf("decode %s: %v allocations, at most %d", name, n, decode)
		}
	}
	small(check, "int", 5, 1, 0)
	small(check, "pair", pair{1, 2}, 1, 0)
	small(check, "string", "hello", 1, 1)
	small(check, "bytes", []byte("hello"), 1, 1)
	small(check, "event", event{time.Now(), "x"}, 1, 2)
}

func small[T any](check func(string, int, int, func(), func()), name string, v T, encode, decode int) {
	p, _ := PlanOf[T]()
	in, out := &v, new(T)
	e, _ := p.Encode(nil, unsafe.Pointer(in))
	data := e.Bytes()
	check(name, encode, decode,
		func() { p.Encode(nil, unsafe.Pointer(in)) },
		func() { p.Decode(nil, data, unsafe.Pointer(out)) })
}

// TestConcurrent builds the plans of types that share parts at once.
func TestConcurrent(t *testing.T) {
	type left struct {
		R *list
		M map[string]*mixed
		N nest
	}
	type right struct {
		L *left
		M []mixed
		W weird
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			v := left{R: &list{V: i}}
			e, err := EncodeValue(nil, right{L: &v})
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := DecodeValue[right](nil, e.Bytes()); err != nil || got.L.R.V != i {
				t.Error(got, err)
			}
			if err := RegisterType[right](); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
