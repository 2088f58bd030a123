package sched

import (
	"context"
	"testing"
)

var noop = fn("noop", func(_ context.Context, x int) (int, error) { return x, nil })

func BenchmarkOne(b *testing.B) {
	e := start(b, Config{})
	ctx := context.Background()
	b.ReportAllocs()
	for i := range b.N {
		c := submit[int, int](e, ctx, noop, i, Opts{})
		if v, err := c.get(e, ctx); v != i || err != nil {
			b.Fatal(v, err)
		}
	}
}

func BenchmarkOneGo(b *testing.B) {
	for i := range b.N {
		c := make(chan int, 1)
		go func() { c <- i }()
		if <-c != i {
			b.Fatal()
		}
	}
}

const many = 10_000

func BenchmarkMany(b *testing.B) {
	e := start(b, Config{})
	ctx := context.Background()
	b.ReportAllocs()
	for range b.N {
		cs := make([]*call[int, int], many)
		for i := range cs {
			cs[i] = submit[int, int](e, ctx, noop, i, Opts{})
		}
		for i := many - 1; i >= 0; i-- {
			if v, err := cs[i].get(e, ctx); v != i || err != nil {
				b.Fatal(v, err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/task")
}

func BenchmarkManyGo(b *testing.B) {
	for range b.N {
		cs := make([]chan int, many)
		for i := range cs {
			c := make(chan int, 1)
			cs[i] = c
			go func() { c <- i }()
		}
		for i := many - 1; i >= 0; i-- {
			if <-cs[i] != i {
				b.Fatal()
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/task")
}
