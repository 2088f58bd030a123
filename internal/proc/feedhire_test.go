package proc

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// hiring is a node that gives the driver a worker which has just died, some times, before it gives one that lives.
type hiring struct {
	*fed
	r     *rand.Rand
	gone  id.Proc
	stale int  // answers that still name it
	told  bool // the driver was told of its death
}

// serve takes what the driver asks of the node.
func (h *hiring) serve() {
	if !h.told && h.r.IntN(3) == 0 {
		h.told = true
		h.driver.addrDead(id.Addr{Node: h.driver.self.Node, Proc: h.gone}, "the test")
	}
	var fs []wire.Frame
	h.node.Pump(func(b []byte) {
		f, err := wire.ParseFrame(append([]byte{}, b...))
		if err != nil {
			h.t.Error(err)
		}
		fs = append(fs, f)
	}, 1)
	for i := range fs {
		switch f := &fs[i]; f.Kind {
		case wire.KWorker:
			to := h.gone
			if h.stale--; h.stale < 0 {
				to = h.worker.id
			}
			r := f.Reply(wire.Marshal(&wire.Placed{To: id.Addr{Node: h.driver.self.Node, Proc: to}}))
			h.driver.handle(r.Append(nil))
		case wire.KLink:
			h.link(f)
		}
	}
}

// link answers a driver that wants a link.
func (h *hiring) link(f *wire.Frame) {
	var q wire.LinkQuery
	if err := wire.Unmarshal(f.Body, &q); err != nil {
		h.t.Error(err)
	}
	if q.Proc == h.gone {
		r := f.ReplyError(wire.ErrorRecord{Class: wire.ErrorUnavailable, Text: "no such process"})
		h.driver.handle(r.Append(nil))
		return
	}
	a, b := h.pair()
	h.links = [2]*wire.Link{a, b}
	h.in = &intake{p: h.worker, from: h.driver.self, link: b, ranges: map[uint32]*landing{}}
	h.driver.mu.Lock()
	h.driver.links[q.Proc].link = a
	h.driver.mu.Unlock()
	h.driver.feed.open(q.Proc, a)
	r := f.Reply(nil)
	h.driver.handle(r.Append(nil))
}

// TestFeedFindsWorker has a worker die before the driver has the link to it, with the news of that and the node's answers in
// any order: the driver must ask until there is another one.
func TestFeedFindsWorker(t *testing.T) {
	newFed(t).learn()
	for seed := range uint64(40) {
		t.Run("", func(t *testing.T) {
			s := newFed(t)
			s.die()
			h := &hiring{fed: s, r: rand.New(rand.NewPCG(seed, 6)), gone: id.NewProc(), stale: int(seed % 4)}
			s.worker = s.process()
			s.turn = h.serve
			s.submit(1 + h.r.IntN(20))
			s.settle()
			s.check()
			for _, e := range s.given {
				var died *WorkerDiedError
				if err := e.Failure(); errors.As(err, &died) {
					t.Errorf("task %d, which no worker had: %v", e.arg, err)
				}
			}
		})
	}
}

// TestFeedLastWords has a worker die after it had the driver adopt a task and before it sent the result.
func TestFeedLastWords(t *testing.T) {
	s := newFed(t)
	s.submit(1)
	s.toWorker(10)
	as := s.arrived()
	if len(as) != 1 {
		t.Fatalf("the worker has %d tasks", len(as))
	}
	a := as[0]
	if err := s.links[1].Send(wire.AppendSlot(nil, wire.ShortAdopt, a.call.Slot, a.index)); err != nil {
		t.Fatal(err)
	}
	s.die()
	var died *WorkerDiedError
	if e := s.given[0]; !e.Ready() || !errors.As(e.Failure(), &died) {
		t.Fatalf("it has an end: %v, and %v", e.Ready(), e.Failure())
	}
}
