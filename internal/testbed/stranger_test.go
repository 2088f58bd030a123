package testbed_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/testbed"
)

// strangerMemory is how much a node may grow by strangers: what it keeps of them is bounded by their number.
const strangerMemory = 64 << 20

// strangersWithin bounds how long a connection that proves nothing stays open, whatever it sends; a loaded machine takes
// its time.
const strangersWithin = 30 * time.Second

// TestStrangers opens thousands of connections to a node, from many addresses, that never prove anything: silent ones,
// ones that stop in the middle of a handshake or send a byte now and then (slow-loris), garbage, and TLS without a proof.
// The node must end them all, not grow beyond its bound, go on working with its member meanwhile, and let a node in that
// may enter. KADRE_STRANGERS says how many; the default is for every run.
func TestStrangers(t *testing.T) {
	testbed.NotAgain(t)
	needTime(t)
	total := 600
	if n, err := strconv.Atoi(os.Getenv("KADRE_STRANGERS")); err == nil {
		total = n
	}
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{})
	friend := bed.StartNode(testbed.NodeConfig{})
	testbed.AwaitMembers(n, friend)
	addr := net.JoinHostPort("127.0.0.1", portOf(t, n.Addrs[0]))
	before := resident(t, n.PID)

	kinds := []func(net.Conn){
		func(net.Conn) {},
		func(c net.Conn) { c.Write([]byte{0x16, 3, 1, 2, 0, 1}) },      // a ClientHello that does not go on
		func(c net.Conn) { c.Write([]byte("\x13/multistream/1.0.0")) }, // libp2p's greeting, without its end
		func(c net.Conn) { go drip(c, append([]byte{0x16, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3}, garbage(241)...)) },
		func(c net.Conn) { c.Write(garbage(4096)) },
		func(c net.Conn) { c.Write(append([]byte{0x16, 3, 1, 0x40, 0}, garbage(16<<10)...)) },
		func(c net.Conn) { // TLS, and then a frame over every limit in place of the proof
			s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"kadre-lane/1"}})
			c.SetDeadline(time.Now().Add(time.Second))
			if s.Handshake() == nil {
				s.Write([]byte{0xff, 0xff, 0xff, 0xff, 1})
			}
		},
	}
	var mu sync.Mutex
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	most := int64(0)
	var flood, wg sync.WaitGroup
	const atOnce = 64
	slots := make(chan struct{}, atOnce)
	flood.Go(func() {
		for i := range total {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i%7), byte(1+i%50))}}
				c, err := d.Dial("tcp", addr)
				if err != nil {
					return // the node's queue is full: bounded too
				}
				mu.Lock()
				open = append(open, c)
				mu.Unlock()
				kinds[i%len(kinds)](c)
			})
			if i%200 == 199 {
				most = max(most, resident(t, n.PID))
			}
		}
		wg.Wait()
	})
	d := friend.Driver("tour") // tasks and actors on both, through the lane between them
	var out Tour
	d.Hear(&out)
	checkTour(t, &out, d.PID, 1, n, friend)
	flood.Wait()
	most = max(most, resident(t, n.PID))
	// While they are all still there, a node that may enter does.
	late := bed.StartNode(testbed.NodeConfig{Args: []string{"--join", addr}})
	testbed.AwaitMembers(n, friend, late)
	most = max(most, resident(t, n.PID))
	t.Logf("%d connections: from %d KiB to %d KiB at most", len(open), before>>10, most>>10)
	if left := stillOpen(open); left > 0 {
		t.Errorf("%d connections of strangers are still open after %v", left, strangersWithin)
	}
	for _, m := range []*testbed.Node{n, friend} {
		if testbed.Says(m.Stderr(), "member down") {
			t.Error("a member was taken for dead meanwhile")
		}
	}
	if len(open) < total*9/10 {
		t.Errorf("only %d of %d connections came about", len(open), total)
	}
	if most-before > strangerMemory {
		t.Errorf("the node grew from %d to %d bytes, more than %d", before, most, strangerMemory)
	}
	late.Stop()
}

// drip sends a byte now and then, for as long as somebody takes it.
func drip(c net.Conn, bytes []byte) {
	for i := 0; ; i++ {
		if _, err := c.Write(bytes[i%len(bytes) : i%len(bytes)+1]); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// stillOpen waits until the other side has ended the connections, and counts those that it has not.
func stillOpen(cs []net.Conn) int {
	var left atomic.Int64
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Go(func() {
			c.SetDeadline(time.Now().Add(strangersWithin))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				left.Add(1)
			}
		})
	}
	wg.Wait()
	return int(left.Load())
}

func garbage(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// resident is what a process has in memory, but for what it shares: the arena.
func resident(t *testing.T, pid int) (n int64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(b)) {
		var kib int64
		if k, v, _ := strings.Cut(line, ":"); k == "RssAnon" || k == "RssFile" {
			fmt.Sscan(v, &kib)
			n += kib << 10
		}
	}
	return n
}
