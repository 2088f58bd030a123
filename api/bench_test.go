package api_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/kadrehq/kadre/api"
)

// random gives n bytes that no compressor or shared page can help with.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func benchPut(b *testing.B, n int, free bool) {
	c := longStart(b)
	v := random(n)
	b.ReportAllocs()
	b.SetBytes(int64(n))
	for i := 0; b.Loop(); i++ {
		v[0] = byte(i)
		ref, err := api.Put(c, v)
		if err != nil {
			b.Fatal(err)
		}
		if free {
			if err := api.Free(c, ref); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func benchGet(b *testing.B, n int) {
	c := longStart(b)
	ref := must(api.Put(c, random(n)))(b)
	b.ReportAllocs()
	b.SetBytes(int64(n))
	for b.Loop() {
		if _, err := ref.Get(c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut1K(b *testing.B)     { benchPut(b, 1<<10, false) }
func BenchmarkPut1KFree(b *testing.B) { benchPut(b, 1<<10, true) }
func BenchmarkPut1M(b *testing.B)     { benchPut(b, 1<<20, false) }
func BenchmarkPut1MFree(b *testing.B) { benchPut(b, 1<<20, true) }
func BenchmarkGet1K(b *testing.B)     { benchGet(b, 1<<10) }
func BenchmarkGet1M(b *testing.B)     { benchGet(b, 1<<20) }

func BenchmarkGetArray(b *testing.B) {
	c := longStart(b)
	a := must(api.NewArray[float64](c, 1<<17))(b)
	ref := must(api.Put(c, a))(b)
	a.Release()
	b.ReportAllocs()
	for b.Loop() {
		a, err := ref.Get(c)
		if err != nil {
			b.Fatal(err)
		}
		a.Release()
	}
}

// BenchmarkCopy1M is the least that a put of 1 MiB can take.
func BenchmarkCopy1M(b *testing.B) {
	c := longStart(b)
	a := must(api.NewArray[byte](c, 1<<20))(b)
	defer a.Release()
	v := random(1 << 20)
	b.SetBytes(1 << 20)
	for b.Loop() {
		copy(a.Data(), v)
	}
}

func longStart(b *testing.B) context.Context {
	c := context.WithoutCancel(start(b, api.ObjectStoreMemory(1<<30)))
	return c
}

// BenchmarkCall is a task that its getter runs.
func BenchmarkCall(b *testing.B) {
	c := longStart(b)
	for b.Loop() {
		if _, err := sameFunc.Remote(c, 1).Get(c); err != nil {
			b.Fatal(err)
		}
	}
}

var sameFunc = api.Func1(func(_ context.Context, x int) (int, error) { return x, nil }, api.RegisterAs("bench same"))

// BenchmarkMany is 100,000 tasks at once; BenchmarkManyMap the same by Map.
func BenchmarkMany(b *testing.B) {
	c := longStart(b)
	b.ReportAllocs()
	for b.Loop() {
		refs := make([]api.Ref[int], manyTasks)
		for i := range refs {
			refs[i] = sameFunc.Remote(c, i)
		}
		if _, err := api.GetAll(c, refs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/manyTasks, "ns/task")
}

func BenchmarkManyMap(b *testing.B) {
	c := longStart(b)
	b.ReportAllocs()
	xs := make([]int, manyTasks)
	for b.Loop() {
		if _, err := api.GetAll(c, sameFunc.Map(c, xs)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/manyTasks, "ns/task")
}

const manyTasks = 100_000
