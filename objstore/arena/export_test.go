package arena

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/shm"
)

// cluster is a node's arena and handles of further clients, all in the test's process.
type cluster struct {
	*Arena
	peers []*Arena
}

// newArena makes an arena with handles for the given client slots, which must come out empty in the end.
func newArena(t testing.TB, cfg Config, clients ...int) *cluster {
	t.Helper()
	a, err := Create(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Arena: a}
	for _, slot := range clients {
		c.peers = append(c.peers, c.attach(t, slot))
	}
	t.Cleanup(func() {
		for _, p := range c.peers {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			a.Reap(p.client)
		}
		u := a.Audit()
		if err := u.Check(); err != nil || !u.Empty() {
			t.Errorf("not empty in the end: %v\n%v", err, u)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// attach admits and opens a client in one slot, by force: slots are given in order.
func (c *cluster) attach(t testing.TB, slot int) *Arena {
	t.Helper()
	c.sp.clientHigh.Store(max(c.sp.clientHigh.Load(), uint64(slot+1)))
	c.clients[slot].epoch.Store(uint64(1000 + slot))
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open([]int{fd}, slot, uint64(1000+slot))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// all are the handles, the node's first.
func (c *cluster) all() []*Arena { return append([]*Arena{c.Arena}, c.peers...) }

// startGenerations gives every entry a generation, to bring the wraparound near.
func (c *cluster) startGenerations(t testing.TB, gen uint32) {
	t.Helper()
	if err := shm.Commit(c.fd, c.offEntries, int64(len(c.entries))*64); err != nil {
		t.Fatal(err)
	}
	for e := range c.entries {
		c.entries[e].main.Store(word(free, gen, 0))
	}
}

var testJob = id.Job{7, 7}

func oid(n int) (o ID) {
	binary.BigEndian.PutUint64(o[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint32(o[16:], uint32(n))
	return o
}

// fill writes bytes that follow from a number, check says where they differ.
func fill(b []byte, n int) {
	for i := range b {
		b[i] = byte(n + i>>6)
	}
}

func check(b []byte, n int) error {
	for i := range b {
		if b[i] != byte(n+i>>6) {
			return fmt.Errorf("object %d has %d at byte %d of %d, want %d", n, b[i], i, len(b), byte(n+i>>6))
		}
	}
	return nil
}

// put creates and seals an object.
func put(a *Arena, n int, size int64) error {
	w, err := a.Create(oid(n), size, testJob, uint32(n))
	if err != nil {
		return err
	}
	fill(w.Bytes(), n)
	_, err = w.Seal(false)
	return err
}

// until polls, with a bound.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}

// serve runs the doorbell loop of a handle until stop.
func serve(a *Arena) (stop func()) {
	done, quit := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		last := uint32(0)
		for {
			select {
			case <-quit:
				return
			default:
			}
			a.Poke()
			last = a.DoorbellWait(last, time.Second)
		}
	}()
	return func() {
		close(quit)
		a.Ring(a.client)
		<-done
	}
}

func lines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }
