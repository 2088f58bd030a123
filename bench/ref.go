package bench

import (
	"context"
	"fmt"
	"time"
)

// goSync is a call as Go would write it: a goroutine that sends its result.
func goSync(_ context.Context, n int) (float64, error) {
	begin := time.Now()
	for i := range n {
		ch := make(chan int, 1)
		go func() { ch <- i * i }()
		if v := <-ch; v != i*i {
			return 0, fmt.Errorf("square of %d is %d", i, v)
		}
	}
	return perOp(time.Since(begin), n, nanoseconds), nil
}

func goAsync(_ context.Context, n int) (float64, error) {
	chs := make([]chan int, n)
	vs := make([]int, n)
	begin := time.Now()
	for i := range chs {
		ch := make(chan int, 1)
		go func() { ch <- i * i }()
		chs[i] = ch
	}
	for i, ch := range chs {
		vs[i] = <-ch
	}
	took := time.Since(begin)
	for i, v := range vs {
		if v != i*i {
			return 0, fmt.Errorf("square of %d is %d", i, v)
		}
	}
	return perOp(took, n, nanoseconds), nil
}

// counter keeps a number in a goroutine that adds what it receives and answers with the sum, until in
// is closed.
func counter(in <-chan int, out chan<- int) {
	sum := 0
	for n := range in {
		sum += n
		out <- sum
	}
	close(out)
}

func chanSync(_ context.Context, n int) (float64, error) {
	in, out := make(chan int), make(chan int)
	go counter(in, out)
	defer func() { close(in); <-out }()
	begin := time.Now()
	for i := range n {
		in <- 1
		if v := <-out; v != i+1 {
			return 0, fmt.Errorf("the counter is %d after %d calls", v, i+1)
		}
	}
	return perOp(time.Since(begin), n, nanoseconds), nil
}

func chanAsync(_ context.Context, n int) (float64, error) {
	in, out := make(chan int, n), make(chan int, n)
	go counter(in, out)
	defer func() { close(in); <-out }()
	vs := make([]int, n)
	begin := time.Now()
	for range n {
		in <- 1
	}
	for i := range vs {
		vs[i] = <-out
	}
	took := time.Since(begin)
	for i, v := range vs {
		if v != i+1 {
			return 0, fmt.Errorf("the counter is %d after %d calls", v, i+1)
		}
	}
	return perOp(took, n, nanoseconds), nil
}

func copyBytes(size int) Side {
	return func(_ context.Context, n int) (float64, error) {
		from, to := make([]byte, size), make([]byte, size)
		begin := time.Now()
		for i := range n {
			from[0], from[size-1] = byte(i), byte(i>>8)
			copy(to, from)
			if to[0] != byte(i) || to[size-1] != byte(i>>8) {
				return 0, fmt.Errorf("copy %d is not what was copied", i)
			}
		}
		return perOp(time.Since(begin), n, putUnit(size)), nil
	}
}

// putUnit is the unit of rows about a value of this size.
func putUnit(size int) string {
	if size >= 1<<20 {
		return microseconds
	}
	return nanoseconds
}
