package codec

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/kadrehq/kadre/internal/id"
)

// fakeRef is as a reference of the runtime will be: a pointer, known by its table entry on the wire.
type fakeRef struct{ p *Ref }

var errZero = errors.New("zero ref")

func (r *fakeRef) EncodeSpecial(e *Encoder) error {
	if r.p == nil {
		return errZero
	}
	i, err := e.AddRef(*r.p)
	e.Uvarint(uint64(i))
	e.Keep(r.p)
	return err
}

func (r *fakeRef) DecodeSpecial(d *Decoder) error {
	i, err := d.Uvarint()
	if err != nil {
		return err
	}
	ref, err := d.Ref(int(i))
	if err != nil {
		return err
	}
	r.p = &ref
	if seen, ok := d.Context.(map[id.Object]*Ref); ok {
		seen[ref.ID] = r.p
	}
	return nil
}

// fakeArray is as an array of the runtime will be: viewed in place at the top, copied inside others.
type fakeArray struct {
	data []float64
	ref  *Ref
}

func (a *fakeArray) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(a.data))), len(a.data)*8)
}

func (a *fakeArray) EncodeTop(e *Encoder) ([]byte, error) {
	if a.ref != nil {
		if _, err := e.AddRef(*a.ref); err != nil {
			return nil, err
		}
	}
	if a.data == nil {
		e.Text("not here")
	}
	return a.bytes(), nil
}

func (a *fakeArray) DecodeTop(d *Decoder, body []byte) error {
	if len(body)%8 != 0 || len(d.Data())-len(body) < HeadLen {
		return errors.New("bad length")
	}
	a.data = unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(body))), len(body)/8)
	return nil
}

func (a *fakeArray) EncodeSpecial(e *Encoder) error { e.Bytes(a.bytes()); return nil }

func (a *fakeArray) DecodeSpecial(d *Decoder) error {
	b, err := d.Bytes()
	if err != nil {
		return err
	}
	if len(b)%8 != 0 {
		return fmt.Errorf("an array of %d bytes", len(b))
	}
	a.data = make([]float64, len(b)/8)
	copy(a.bytes(), b)
	return nil
}

func ref(n byte, hints ...id.Node) Ref {
	return Ref{ID: id.Object{n, 19: 1}, Owner: id.Addr{Node: "owner", Proc: 7}, Size: 1 << 40, Hash: uint64(n), Attempt: 3, Hints: hints}
}

// TestMapsOfRefs wants the same bytes, and the same order of references, from maps that are equal.
func TestMapsOfRefs(t *testing.T) {
	type value struct {
		Inner map[int]fakeRef
		Any   any
	}
	var first Encoded
	for i := range 20 {
		v := map[string]value{}
		for k := range 10 {
			in := map[int]fakeRef{}
			for n := range 5 {
				r := ref(byte(10*k + n))
				in[n] = fakeRef{&r}
			}
			v[strings.Repeat("k", k%3)+string(rune('a'+k))] = value{in, k}
		}
		e, err := EncodeValue(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = e
		}
		if len(e.Refs) != 50 || len(e.Keep) != 50 || !reflect.DeepEqual(e.Refs, first.Refs) || !bytes.Equal(e.Bytes(), first.Bytes()) {
			t.Fatalf("%d references, %d kept; the first time %d", len(e.Refs), len(e.Keep), len(first.Refs))
		}
	}
}

// TestZeroOfTopLevel wants no value and an empty one told apart.
func TestZeroOfTopLevel(t *testing.T) {
	p, err := PlanOf[fakeArray]()
	if err != nil {
		t.Fatal(err)
	}
	for _, flags := range []uint16{0, flagNil} {
		v := fakeArray{data: []float64{1}}
		if err := p.Decode(nil, appendHead(nil, formTop, flags, p.hash, nil, 0), unsafe.Pointer(&v)); err != nil {
			t.Fatal(err)
		}
		if (v.data == nil) != (flags != 0) || len(v.data) != 0 {
			t.Errorf("flags %d give %v", flags, v.data)
		}
	}
	if err := p.Decode(nil, append(appendHead(nil, formTop, flagNil, p.hash, nil, 8), make([]byte, 8)...), unsafe.Pointer(new(fakeArray))); err == nil {
		t.Error("the zero value has a body")
	}
}

func TestRefs(t *testing.T) {
	a, b := ref(1, "x", "y", "z"), ref(2)
	later := a
	later.Attempt++
	type bag struct {
		Name string
		M    map[string]fakeRef
		L    []fakeRef
	}
	v := bag{"n", map[string]fakeRef{"a": {&a}}, []fakeRef{{&a}, {&b}, {&later}, {&a}}}
	e, err := EncodeValue(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	want := []Ref{a, b, later}
	if !reflect.DeepEqual(e.Refs, want) || len(e.Keep) != 5 || e.Keep[0] != &a {
		t.Fatalf("refs %v, kept %v", e.Refs, e.Keep)
	}
	if len(e.Head)%alignment != 0 || len(e.Head) <= HeadLen {
		t.Fatalf("a head of %d bytes", len(e.Head))
	}
	data := e.Bytes()
	if got, err := Refs(data); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, %v", got, err)
	}
	seen := map[id.Object]*Ref{}
	got, err := DecodeValue[bag](seen, data)
	if err != nil || !reflect.DeepEqual(got, v) || len(seen) != 2 {
		t.Fatalf("got %v, %v", got, err)
	}
	p, _ := PlanOf[bag]()
	app, refs, keep, err := p.AppendEncode(nil, nil, unsafe.Pointer(&v))
	if err != nil || len(app) != len(data) || !reflect.DeepEqual(refs, want) || len(keep) != 5 {
		t.Fatalf("appended %d bytes, %v, %v, %v", len(app), refs, keep, err)
	}
	if _, err = EncodeValue(nil, bag{L: []fakeRef{{&a}, {}}}); !errors.Is(err, errZero) || err.Error() != "codec: cannot carry codec.bag: field L[1] failed in its own codec: zero ref" {
		t.Fatal(err)
	}
	none, _ := EncodeValue(nil, 5)
	if got, err := Refs(none.Bytes()); err != nil || got != nil {
		t.Fatal(got, err)
	}
	for n := range data {
		Refs(data[:n])
		if _, err := DecodeValue[bag](nil, data[:n]); err == nil {
			t.Fatalf("%d of %d bytes were enough", n, len(data))
		}
	}
}

func TestRefLimits(t *testing.T) {
	many, long := ref(1, "a", "b", "c", "d"), ref(1, id.Node(strings.Repeat("n", MaxName+1)))
	for _, r := range []Ref{many, long} {
		if _, err := EncodeValue(nil, fakeRef{&r}); err == nil {
			t.Errorf("%v went through", r)
		}
	}
	r := ref(1)
	e, _ := EncodeValue(nil, fakeRef{&r})
	data := e.Bytes()
	data[len(e.Head)+1] = 9 // the index
	_, err := DecodeValue[fakeRef](nil, data)
	if want := "codec: cannot read codec.fakeRef: it asks for reference 9 of 1; the bytes are damaged or come from another program"; err == nil || err.Error() != want {
		t.Error(err)
	}
	order.PutUint32(data[headerLen:], MaxRefs)
	if _, err := Refs(data); err == nil || !strings.HasPrefix(err.Error(), "codec: cannot read a value: field ref table says 1048576 references in ") {
		t.Error(err)
	}
}

func TestTopLevel(t *testing.T) {
	r := ref(1)
	a := fakeArray{data: []float64{1, 2, 3}, ref: &r}
	e, err := EncodeValue(nil, a)
	if err != nil || &e.Body[0] != &a.bytes()[0] || len(e.Refs) != 1 {
		t.Fatal(e, err)
	}
	data := e.Bytes()
	got, err := DecodeValue[fakeArray](nil, data)
	if err != nil || !reflect.DeepEqual(got.data, a.data) || &got.bytes()[0] != &data[len(e.Head)] {
		t.Fatal(got, err)
	}
	inside, err := EncodeValue(nil, []fakeArray{a, {}})
	if err != nil {
		t.Fatal(err)
	}
	copies, err := DecodeValue[[]fakeArray](nil, inside.Bytes())
	if err != nil || !reflect.DeepEqual(copies[0].data, a.data) || len(copies[1].data) != 0 {
		t.Fatal(copies, err)
	}
	want := "codec: cannot carry codec.fakeArray: it wrote 9 bytes to its encoder; a top-level value gives a body instead"
	if _, err := EncodeValue(nil, fakeArray{}); err == nil || err.Error() != want {
		t.Fatal(err)
	}
}

func TestEncoderDecoder(t *testing.T) {
	var e Encoder
	e.Byte(7)
	e.Uvarint(300)
	e.Uint64(1 << 60)
	e.Bytes([]byte("bytes"))
	e.Text("text")
	read := func(d *Decoder) (ok bool) {
		b, e1 := d.Byte()
		u, e2 := d.Uvarint()
		x, e3 := d.Uint64()
		bs, e4 := d.Bytes()
		s, e5 := d.Text()
		return errors.Join(e1, e2, e3, e4, e5) == nil && b == 7 && u == 300 && x == 1<<60 && bytes.Equal(bs, []byte("bytes")) && s == "text"
	}
	if !read(&Decoder{in: e.buf}) {
		t.Error("what was written was not read")
	}
	for n := range e.buf {
		if read(&Decoder{in: e.buf[:n]}) {
			t.Errorf("%d of %d bytes were enough", n, len(e.buf))
		}
	}
}

func FuzzRefs(f *testing.F) {
	r := ref(1, "x", "y")
	e, _ := EncodeValue(nil, []fakeRef{{&r}})
	f.Add(e.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		refs, err := Refs(data)
		if err != nil {
			return
		}
		again, er := parseTable(appendTable(nil, refs))
		if er != nil || !reflect.DeepEqual(refs, again) {
			t.Fatalf("got %v, then %v, %v", refs, again, er)
		}
	})
}

// FuzzDecode reads a payload as each of several types. What can be read must survive another round.
func FuzzDecode(f *testing.F) {
	plans, r := fuzzPlans(f), ref(1)
	for i, v := range []any{
		&mixed{Ss: []string{"a", "bb"}, M: map[string][]int{"a": {1}}, Any: 5, Sh: square{1}, G: make([]gap, 2)},
		&list{1, 2, &list{}}, &nest{{}, {{}}}, &map[any]shape{5: group{[]shape{&circle{1}, nil}}}, &[]fakeRef{{&r}}, &[]event{{}},
	} {
		e, err := plans[i].Encode(nil, reflect.ValueOf(v).UnsafePointer())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), e.Body)
	}
	f.Fuzz(func(t *testing.T, i byte, payload []byte) {
		p := plans[int(i)%len(plans)]
		var table []byte
		if p.hasRef {
			table = appendTable(nil, []Ref{r})
		}
		data := append(appendHead(nil, p.form, 0, p.hash, table, len(payload)), payload...)
		v := reflect.New(p.typ)
		if p.Decode(nil, data, v.UnsafePointer()) != nil {
			return
		}
		e, err := p.Encode(nil, v.UnsafePointer())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Decode(nil, e.Bytes(), reflect.New(p.typ).UnsafePointer()); err != nil {
			t.Fatal(err)
		}
	})
}

func fuzzPlans(f *testing.F) (plans []*Plan) {
	for _, t := range []reflect.Type{
		reflect.TypeFor[mixed](), reflect.TypeFor[list](), reflect.TypeFor[nest](), reflect.TypeFor[map[any]shape](), reflect.TypeFor[[]fakeRef](),
		reflect.TypeFor[[]event](), reflect.TypeFor[[]bool](), reflect.TypeFor[[]pair](), reflect.TypeFor[string](), reflect.TypeFor[weird](),
		reflect.TypeFor[[]struct{}](), reflect.TypeFor[map[string]*[2]string](), reflect.TypeFor[map[struct{}]struct{}](),
	} {
		p, err := PlanFor(t)
		if err != nil {
			f.Fatal(err)
		}
		plans = append(plans, p)
	}
	return plans
}
