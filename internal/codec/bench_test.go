package codec

import (
	"testing"
	"time"
	"unsafe"
)

func BenchmarkInt(b *testing.B)    { both(b, 5) }
func BenchmarkPair(b *testing.B)   { both(b, pair{1, 2}) }
func BenchmarkString(b *testing.B) { both(b, "hello, world") }
func BenchmarkMiB(b *testing.B)    { both(b, make([]byte, 1<<20)) }
func BenchmarkFloats(b *testing.B) { both(b, make([]float64, 1<<17)) }
func BenchmarkEvent(b *testing.B)  { both(b, event{time.Now(), "hello"}) }
func BenchmarkTexts(b *testing.B)  { both(b, make([]string, 1000)) }
func BenchmarkMap(b *testing.B)    { both(b, map[string]int{"a": 1, "b": 2, "c": 3, "d": 4}) }
func BenchmarkRecords(b *testing.B) {
	v := make([]embedded, 1000)
	for i := range v {
		v[i] = embedded{base{i}, "name"}
	}
	both(b, v)
}

// both measures encoding and copying away, then decoding.
func both[T any](b *testing.B, v T) {
	p, err := PlanOf[T]()
	if err != nil {
		b.Fatal(err)
	}
	e, err := p.Encode(nil, unsafe.Pointer(&v))
	if err != nil {
		b.Fatal(err)
	}
	data := e.Bytes()
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			e, _ := p.Encode(nil, unsafe.Pointer(&v))
			e.CopyTo(data)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			var out T
			p.Decode(nil, data, unsafe.Pointer(&out))
		}
	})
}
