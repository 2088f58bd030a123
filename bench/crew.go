package bench

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/objstore/arena"
)

// order is what a process of a store row is to do next.
type order struct {
	Do     string
	Client int    `json:",omitempty"` // attach: the slot
	Epoch  uint64 `json:",omitempty"` // attach
	Start  int64  `json:",omitempty"` // put, get: when, in nanoseconds of the wall clock
	End    int64  `json:",omitempty"` // put, get: until when
	Lock   bool   `json:",omitempty"` // put, get: under the lock
	Each   bool   `json:",omitempty"` // put: time each operation
	N      int    `json:",omitempty"` // wake, futex: how often
	First  uint64 `json:",omitempty"` // wake: number of the first object; futex: what the word is
}

// answer is what came of an order.
type answer struct {
	Ops     int       `json:",omitempty"`
	Took    int64     `json:",omitempty"` // nanoseconds
	Latency histogram `json:",omitempty"`
	At      []int64   `json:",omitempty"` // wake, futex: when it was awake, in nanoseconds of the wall clock
}

// Words of the arena that rows use beside the store: doorbells of client slots that no process has.
const (
	lockSlot  = 255
	futexSlot = 254
)

const (
	crewSize    = 4
	crewEntries = 32 << 10               // objects that the arena of a crew has room for
	crewRun     = 100 * time.Millisecond // one sample
	crewHeadway = 5 * time.Millisecond   // for all processes to hear of it first
	opsPerLook  = 16                     // between two looks at the clock
)

// crew is processes that have one arena attached.
type crew struct {
	a   *arena.Arena
	all []*child
}

// hire starts processes and has them attach.
func hire(ctx context.Context, a *arena.Arena, n int) (*crew, error) {
	fd, err := unix.FcntlInt(uintptr(a.FDs()[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "arena")
	defer f.Close()
	c := &crew{a: a}
	for range n {
		k, err := spawn("store", f)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.all = append(c.all, k)
		epoch := uint64(len(c.all))
		slot, err := a.Admit(k.cmd.Process.Pid, epoch)
		if err == nil {
			err = k.ask(ctx, order{Do: "attach", Client: slot, Epoch: epoch}, &answer{})
		}
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

// run has all processes do the same at the same time.
func (c *crew) run(ctx context.Context, o order) ([]answer, error) {
	begin := time.Now().Add(crewHeadway)
	o.Start, o.End = begin.UnixNano(), begin.Add(crewRun).UnixNano()
	for _, k := range c.all {
		if err := k.orders.Encode(o); err != nil {
			return nil, err
		}
	}
	said := make([]answer, len(c.all))
	for i, k := range c.all {
		if err := k.hear(ctx, &said[i]); err != nil {
			return nil, err
		}
	}
	return said, nil
}

// close ends the processes and takes back what they held.
func (c *crew) close() (err error) {
	for i, k := range c.all {
		err = errors.Join(err, k.close())
		c.a.Reap(i + 1)
	}
	return err
}

// throughput is how much all processes together do.
func (c *crew) throughput(o order) Side {
	return func(ctx context.Context, _ int) (float64, error) {
		said, err := c.run(ctx, o)
		sum := 0.0
		for _, s := range said {
			sum += float64(s.Ops) / float64(s.Took) * 1e9
		}
		return sum, err
	}
}

// tail is the 99.9th percentile of the time of one operation of any process.
func (c *crew) tail(o order) Side {
	return func(ctx context.Context, _ int) (float64, error) {
		said, err := c.run(ctx, o)
		h := histogram{}
		for _, s := range said {
			for b, n := range s.Latency {
				h[b] += n
			}
		}
		return h.quantile(0.999), err
	}
}

// histogram counts times by their first 6 binary digits, so that each is known to 3%.
type histogram map[int]int

const mantissa = 5

func (h histogram) add(d time.Duration) {
	v := uint64(max(d, 0))
	e := max(bits.Len64(v)-mantissa-1, 0)
	h[e<<mantissa+int(v>>e)]++
}

// quantile is the middle of the bucket in which the quantile lies, in nanoseconds.
func (h histogram) quantile(q float64) float64 {
	all, last := 0, 0
	for b, n := range h {
		all, last = all+n, max(last, b)
	}
	seen := 0
	for b := range last + 1 {
		if seen += h[b]; float64(seen) >= q*float64(all) && seen > 0 {
			e := max(b>>mantissa-1, 0)
			return (float64(b-e<<mantissa) + 0.5) * float64(uint64(1)<<e)
		}
	}
	return 0
}

// storeChild is a process of a crew.
func storeChild() error {
	s := &station{}
	defer s.close()
	return serveOrders(s.do)
}

// station is the state of such a process.
type station struct {
	a    *arena.Arena
	lock *lock
	put  *putter
	get  *set
	quit chan struct{}
	done chan struct{} // the doorbell loop has ended
}

func (s *station) do(o order) (answer, error) {
	if (s.a == nil) != (o.Do == "attach") {
		return answer{}, fmt.Errorf("bench: order %q at the wrong time", o.Do)
	}
	switch o.Do {
	case "attach":
		return answer{}, s.attach(o)
	case "fill":
		s.put = &putter{a: s.a, base: uint64(s.a.Client()) << 40}
		return answer{}, s.put.fill()
	case "put":
		s.put.lock = s.lockFor(o)
		return repeat(o, s.put.turn)
	case "get":
		if s.get == nil {
			s.get = newSet(smallSet)
		}
		l := s.lockFor(o)
		return repeat(o, func() error { return s.get.get(s.a, l) })
	case "wake":
		return s.wake(o)
	case "futex":
		return s.futex(o)
	}
	return answer{}, fmt.Errorf("bench: no order %q", o.Do)
}

func (s *station) lockFor(o order) *lock {
	if o.Lock {
		return s.lock
	}
	return nil
}

// attach opens the arena and runs the process's doorbell loop.
func (s *station) attach(o order) (err error) {
	if s.a, err = arena.Open([]int{3}, o.Client, o.Epoch); err != nil {
		return err
	}
	s.lock = &lock{s.a.Doorbell(lockSlot)}
	s.quit, s.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(s.done)
		last := uint32(0)
		for {
			select {
			case <-s.quit:
				return
			default:
			}
			s.a.Poke()
			last = s.a.DoorbellWait(last, time.Second)
		}
	}()
	return nil
}

func (s *station) close() {
	if s.a == nil {
		return
	}
	close(s.quit)
	s.a.Ring(s.a.Client())
	<-s.done
	s.a.Close()
}

// repeat does something over and over from the start of an order to its end.
func repeat(o order, f func() error) (a answer, err error) {
	<-time.After(time.Until(time.Unix(0, o.Start)))
	begin := time.Now()
	if o.Each {
		a.Latency = histogram{}
		for at := begin; at.UnixNano() < o.End; a.Ops++ {
			if err := f(); err != nil {
				return a, err
			}
			now := time.Now()
			a.Latency.add(now.Sub(at))
			at = now
		}
	} else {
		for time.Now().UnixNano() < o.End {
			for range opsPerLook {
				if err := f(); err != nil {
					return a, err
				}
			}
			a.Ops += opsPerLook
		}
	}
	a.Took = int64(time.Since(begin))
	return a, nil
}

func (s *station) wake(o order) (a answer, err error) {
	for i := range o.N {
		h, err := s.a.Wait(context.Background(), objectOf(o.First+uint64(i)))
		if err != nil {
			return a, err
		}
		a.At = append(a.At, time.Now().UnixNano())
		h.Release()
	}
	return a, nil
}

func (s *station) futex(o order) (a answer, err error) {
	w := s.a.Doorbell(futexSlot)
	for last := uint32(o.First); len(a.At) < o.N; last++ {
		for w.Load() == last {
			shm.Wait(w, last, time.Second)
		}
		a.At = append(a.At, time.Now().UnixNano())
	}
	return a, nil
}
