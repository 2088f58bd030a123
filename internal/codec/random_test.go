package codec

import (
	"bytes"
	"fmt"
	"math/rand"
	"reflect"
	"testing"
	"testing/quick"
	"time"
)

// TestRandom makes types and values of them at random and wants back what went in.
func TestRandom(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewSource(seed))
	for i := range 500 {
		typ := randomType(rng, 4)
		v, ok := quick.Value(typ, rng)
		if !ok {
			t.Fatalf("no value of %v", typ)
		}
		p, err := PlanFor(typ)
		if err != nil {
			t.Fatal(err)
		}
		in, out := reflect.New(typ), reflect.New(typ)
		in.Elem().Set(v)
		if i%2 == 0 { // what was there before must not matter
			old, _ := quick.Value(typ, rng)
			out.Elem().Set(old)
		}
		e, err := p.Encode(nil, in.UnsafePointer())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Decode(nil, e.Bytes(), out.UnsafePointer()); err != nil {
			t.Fatalf("%v: %v", typ, err)
		}
		if !reflect.DeepEqual(in.Interface(), out.Interface()) {
			t.Fatalf("%v\ngot  %#v\nsent %#v", typ, out.Elem(), v)
		}
		again, err := p.Encode(nil, out.UnsafePointer())
		if err != nil || !bytes.Equal(again.Bytes(), e.Bytes()) {
			t.Fatalf("%v: equal values give other bytes: %v", typ, err)
		}
	}
}

var basics = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](),
	reflect.TypeFor[float64](), reflect.TypeFor[complex64](), reflect.TypeFor[string](), reflect.TypeFor[struct{}](), reflect.TypeFor[gap](),
}

func randomType(rng *rand.Rand, depth int) reflect.Type {
	if depth == 0 || rng.Intn(4) == 0 {
		return basics[rng.Intn(len(basics))]
	}
	part := func() reflect.Type { return randomType(rng, depth-1) }
	switch rng.Intn(6) {
	case 0:
		return reflect.ArrayOf(rng.Intn(4), part())
	case 1:
		return reflect.PointerTo(part())
	case 2:
		return reflect.MapOf(basics[rng.Intn(len(basics))], part())
	case 3, 4:
		return reflect.SliceOf(part())
	}
	var fields []reflect.StructField
	for i := range rng.Intn(5) {
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: part()})
	}
	return reflect.StructOf(fields)
}
