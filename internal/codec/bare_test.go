package codec

import (
	"reflect"
	"testing"
	"unsafe"
)

func TestBare(t *testing.T) {
	type pair struct{ A, B int32 }
	bare(t, 7, 8)
	bare(t, "text", 4)
	bare(t, "", 0)
	bare(t, []float64{1, 2}, 16)
	bare(t, []byte{}, 0)
	bare(t, pair{1, 2}, 8)
	bare[[]int](t, nil, -1)
	bare(t, []string{"no"}, -1)
	bare(t, map[int]int{}, -1)
	p, _ := PlanOf[bool]()
	var b bool
	if p.DecodeBare([]byte{2}, unsafe.Pointer(&b)) == nil || p.DecodeBare(nil, unsafe.Pointer(&b)) == nil {
		t.Error("damage was taken")
	}
	p, _ = PlanOf[map[int]int]()
	var m map[int]int
	if p.DecodeBare(nil, unsafe.Pointer(&m)) == nil {
		t.Error("a map is bare")
	}
}

// bare checks that v has a bare form of n bytes and comes back; n < 0: that it has none.
func bare[T any](t *testing.T, v T, n int) {
	t.Helper()
	p, err := PlanOf[T]()
	if err != nil {
		t.Fatal(err)
	}
	b, ok := p.AppendBare([]byte("x"), unsafe.Pointer(&v))
	if ok != (n >= 0) || ok && len(b) != n+1 {
		t.Fatal(v, ok, len(b))
	}
	if !ok {
		return
	}
	var got T
	if err := p.DecodeBare(b[1:], unsafe.Pointer(&got)); err != nil || !reflect.DeepEqual(got, v) {
		t.Error(got, v, err)
	}
}
