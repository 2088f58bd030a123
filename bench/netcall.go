package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"sync/atomic"
)

const (
	callBytes   = 100
	callsAtOnce = 1000

	frameCall   = 1
	frameReturn = 2
)

// calls is requests over control frames, as the layers above make them: a frame carries the number of a slot,
// whose callback runs when the answer comes.
type calls struct {
	slots [callsAtOnce]func()
	lost  atomic.Int64 // answers to nothing
}

func newCalls() *calls { return &calls{} }

func (c *calls) returned(f []byte) {
	if len(f) != callBytes || f[0] != frameReturn {
		c.lost.Add(1)
		return
	}
	i := binary.BigEndian.Uint32(f[1:])
	if i >= callsAtOnce || c.slots[i] == nil {
		c.lost.Add(1)
		return
	}
	c.slots[i]()
}

// ping gives the time of each of N calls, one after the other: the handler of an answer makes the next.
func (n *netNode) ping(o netOrder) ([]float64, error) {
	took := make([]float64, 0, o.N)
	var begin time.Time
	done := make(chan error, 1)
	call := func() {
		var f [callBytes]byte
		f[0] = frameCall
		begin = time.Now()
		if err := n.host.Send(o.Peer, f[:]); err != nil {
			done <- err
		}
	}
	n.calls.slots[0] = func() {
		if took = append(took, float64(time.Since(begin))); len(took) == o.N {
			done <- nil
			return
		}
		call()
	}
	call()
	err := errors.Join(within(done), n.calls.check())
	return took, err
}

// pingWait is the same by a goroutine that waits for each answer.
func (n *netNode) pingWait(o netOrder) ([]float64, error) {
	back := make(chan error, 1)
	n.calls.slots[0] = func() { back <- nil }
	var f [callBytes]byte
	f[0] = frameCall
	took := make([]float64, 0, o.N)
	for range o.N {
		begin := time.Now()
		if err := n.host.Send(o.Peer, f[:]); err != nil {
			return nil, err
		}
		if err := within(back); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(begin)))
	}
	return took, n.calls.check()
}

func within(done chan error) error {
	select {
	case err := <-done:
		return err
	default:
	}
	late := time.NewTimer(startFor)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return errors.New("bench: an answer does not come")
	}
}

func (c *calls) check() error {
	if k := c.lost.Load(); k > 0 {
		return fmt.Errorf("bench: %d answers to nothing", k)
	}
	return nil
}

// inflight keeps callsAtOnce calls under way and counts those that are answered in a second.
func (n *netNode) inflight(o netOrder) (float64, error) {
	free := make(chan uint32, callsAtOnce)
	var done atomic.Int64
	for i := range uint32(callsAtOnce) {
		n.calls.slots[i] = func() {
			done.Add(1)
			free <- i
		}
		free <- i
	}
	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		var f [callBytes]byte
		f[0] = frameCall
		for {
			select {
			case i := <-free:
				binary.BigEndian.PutUint32(f[1:], i)
				if err := n.host.Send(o.Peer, f[:]); err != nil {
					failed <- err
					return
				}
			case <-stop:
				failed <- nil
				return
			}
		}
	}()
	rate := countFor(o.For, &done)
	close(stop)
	if err := <-failed; err != nil {
		return 0, err
	}
	return rate, errors.Join(n.calls.settle(free), n.calls.check())
}

// settle waits until no call is under way any more.
func (c *calls) settle(free chan uint32) error {
	for end := time.Now().Add(startFor); len(free) < callsAtOnce; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("bench: %d calls are not answered", callsAtOnce-len(free))
		}
	}
	return nil
}
