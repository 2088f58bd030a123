package bench

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/shm"
)

// waker is somebody who sleeps until woken, and notes when that was.
type waker interface {
	wake()
	at() int64 // when it was awake, since epoch; 0: it is not yet
	close()
}

// wakeOnce lets the CPUs idle, wakes somebody and computes on until he is awake, as startOnce does for a task.
func wakeOnce(w waker, idle time.Duration) float64 {
	time.Sleep(idle)
	begin := time.Since(epoch)
	w.wake()
	for end := time.Now().Add(startSpin); time.Now().Before(end) && w.at() == 0; {
		runtime.KeepAlive(spin(100))
	}
	for w.at() == 0 {
		runtime.Gosched()
	}
	return perOp(time.Duration(w.at())-begin, 1, microseconds)
}

// futexWaker is a thread of its own that sleeps on a word: what any mechanism of waking somebody rests on.
type futexWaker struct {
	word  atomic.Uint32
	awake atomic.Int64
	ended chan struct{}
}

// Values of the word.
const (
	futexSleep = iota
	futexWoken
	futexEnd
)

func newFutexWaker() *futexWaker {
	f := &futexWaker{ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for {
			for f.word.Load() == futexSleep {
				shm.Wait(&f.word, futexSleep, -1)
			}
			f.awake.Store(int64(time.Since(epoch)))
			if f.word.Swap(futexSleep) == futexEnd {
				return
			}
		}
	}()
	return f
}

func (f *futexWaker) wake() {
	f.awake.Store(0)
	f.word.Store(futexWoken)
	shm.Wake(&f.word, 1)
}

func (f *futexWaker) at() int64 { return f.awake.Load() }

func (f *futexWaker) close() {
	f.word.Store(futexEnd)
	shm.Wake(&f.word, 1)
	<-f.ended
}

// goWaker is a goroutine that sleeps on a channel.
type goWaker struct {
	ch    chan struct{}
	awake atomic.Int64
	ended chan struct{}
}

func newGoWaker() *goWaker {
	g := &goWaker{ch: make(chan struct{}, 1), ended: make(chan struct{})}
	go func() {
		defer close(g.ended)
		for range g.ch {
			g.awake.Store(int64(time.Since(epoch)))
		}
	}()
	return g
}

func (g *goWaker) wake() {
	g.awake.Store(0)
	g.ch <- struct{}{}
}

func (g *goWaker) at() int64 { return g.awake.Load() }

func (g *goWaker) close() {
	close(g.ch)
	<-g.ended
}
