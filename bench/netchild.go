package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/p2p"
)

// netOrder is what a process of a row of suite node is to do next.
type netOrder struct {
	Do      string
	Dir     string        `json:",omitempty"` // start: a folder of its own
	Runtime string        `json:",omitempty"` // start: the folder where nodes of one machine meet; "": none
	Token   string        `json:",omitempty"` // start: the token's file
	IP      string        `json:",omitempty"` // start: where it listens
	Join    []string      `json:",omitempty"` // start: whom to join
	Bytes   int64         `json:",omitempty"` // start: of the arena; 0: no arena
	Peer    id.Node       `json:",omitempty"` // the other process
	Addr    string        `json:",omitempty"` // …-ref: its listener for the reference
	N       int           `json:",omitempty"` // ping: how often; fill, bulk: bytes
	For     time.Duration `json:",omitempty"` // inflight
}

// netAnswer is what came of it.
type netAnswer struct {
	ID    id.Node  `json:",omitempty"`
	Addrs []string `json:",omitempty"`
	TLS   string   `json:",omitempty"`
	Unix  string   `json:",omitempty"`
	Via   string   `json:",omitempty"`
	Value float64  `json:",omitempty"` // ping: median in nanoseconds; inflight: messages a second; bulk: seconds; cpu: seconds
}

// netNode is what such a process has: the network and the store of a node, and beside them listeners for plain
// connections. Nothing else of a node is there, so that both sides share a process with the same.
type netNode struct {
	host  *p2p.Host
	a     *arena.Arena
	store *objstore.Store
	calls *calls
	raws  rawServer
}

func netChild() error {
	n := &netNode{calls: newCalls()}
	return errors.Join(serveOrders(n.do), n.close())
}

func (n *netNode) do(o netOrder) (netAnswer, error) {
	if (n.host == nil) != (o.Do == "start") {
		return netAnswer{}, fmt.Errorf("bench: order %q at the wrong time", o.Do)
	}
	switch o.Do {
	case "start":
		return n.start(o)
	case "met":
		return n.met(o.Peer)
	case "cpu":
		return netAnswer{Value: ownCPU()}, nil
	case "fill":
		return netAnswer{}, n.fill(o.N)
	case "ping":
		return median(n.ping(o))
	case "ping-wait":
		return median(n.pingWait(o))
	case "ping-ref":
		return median(rawPing(o))
	case "inflight":
		return value(n.inflight(o))
	case "inflight-ref":
		return value(rawInflight(o))
	case "bulk":
		return value(n.pull(o))
	case "bulk-ref":
		return value(n.rawBulk(o))
	}
	return netAnswer{}, fmt.Errorf("bench: no order %q", o.Do)
}

func value(v float64, err error) (netAnswer, error) { return netAnswer{Value: v}, err }

func median(ns []float64, err error) (netAnswer, error) { return netAnswer{Value: Median(ns)}, err }

func (n *netNode) start(o netOrder) (a netAnswer, err error) {
	if o.Bytes > 0 {
		if n.a, err = arena.Create(arena.Config{Size: o.Bytes}); err != nil {
			return a, err
		}
	}
	serve := func(from id.Node, req []byte) ([]byte, []byte, func(), error) {
		if n.store == nil {
			return nil, nil, nil, errors.New("bench: this process has no store yet")
		}
		return n.store.Serve(from, req)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startFor)
	defer cancel()
	n.host, err = p2p.Start(ctx, p2p.Config{Cluster: "bench", StateDir: filepath.Join(o.Dir, "state"), RuntimeDir: o.Runtime,
		TokenFile: o.Token, Listen: []string{net.JoinHostPort(o.IP, "0")}, Join: o.Join,
		Control: n.control, Serve: serve, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return a, err
	}
	if n.a != nil {
		n.store = objstore.NewStore(objstore.Config{Arena: n.a, Node: n.host.ID(), Net: n.host})
	}
	if err := n.raws.listen(o.IP, filepath.Join(o.Dir, "raw.sock"), n.object); err != nil {
		return a, err
	}
	return netAnswer{ID: n.host.ID(), Addrs: n.host.Addrs(), TLS: n.raws.tls.Addr().String(), Unix: n.raws.unix.Addr().String()}, nil
}

func (n *netNode) close() (err error) {
	n.raws.close()
	if n.host != nil {
		err = n.host.Close()
	}
	if n.store != nil {
		n.store.Close()
	}
	if n.a != nil {
		n.a.DeleteJob(storeJob)
		err = errors.Join(err, n.a.Close())
	}
	return err
}

// met waits until the other process is a member here, by the way it will stay.
func (n *netNode) met(peer id.Node) (netAnswer, error) {
	for end := time.Now().Add(startFor); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		for _, m := range n.host.Members() {
			if m.ID == peer && n.host.Connected(peer) {
				return netAnswer{Via: m.Via}, nil
			}
		}
	}
	return netAnswer{}, fmt.Errorf("bench: the processes have not met within %v", startFor)
}

// ownCPU is the CPU time of this process in seconds.
func ownCPU() float64 {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e9
}

// control gets frames: the first byte says whether to send one back.
func (n *netNode) control(from id.Node, _ uint64, f []byte) {
	if len(f) > 0 && f[0] == frameCall {
		f[0] = frameReturn
		if err := n.host.Send(from, f); err != nil {
			panic(err) // no more are under way than a lane has room for
		}
		return
	}
	n.calls.returned(f)
}

// fill makes the object that the other process pulls.
func (n *netNode) fill(size int) error {
	w, err := n.a.Create(objectOf(0), int64(size), storeJob, 0)
	if err != nil {
		return err
	}
	random(w.Bytes())
	_, err = w.Seal(false)
	return err
}

// object gives the bytes of that object.
func (n *netNode) object() ([]byte, func(), error) {
	h, ok := n.a.Get(objectOf(0))
	if !ok {
		return nil, nil, errors.New("bench: the object is not there")
	}
	return h.Bytes(), h.Release, nil
}

// pull brings the object here from the other process, and lets it go.
func (n *netNode) pull(o netOrder) (float64, error) {
	begin := time.Now()
	err := n.store.Pull(context.Background(), wire.ObjectInfo{ID: objectOf(0), Size: uint64(o.N), Job: storeJob, Holders: []id.Node{o.Peer}})
	took := time.Since(begin).Seconds()
	if err == nil && !n.a.Delete(objectOf(0)) {
		err = errors.New("bench: what was pulled is not there")
	}
	return took, err
}

// rawBulk reads as much from a plain connection into the same kind of memory.
func (n *netNode) rawBulk(o netOrder) (float64, error) {
	begin := time.Now()
	w, err := n.a.Create(objectOf(0), int64(o.N), storeJob, 0)
	if err != nil {
		return 0, err
	}
	defer w.Abort()
	c, err := rawDial(o.Addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.Write([]byte{rawSend}); err != nil {
		return 0, err
	}
	for b := w.Bytes(); len(b) > 0; {
		k, err := c.Read(b[:min(len(b), rawPiece)])
		if err != nil {
			return 0, fmt.Errorf("bench: %d bytes are missing: %w", len(b), err)
		}
		b = b[k:]
	}
	return time.Since(begin).Seconds(), nil
}

// rawDial dials a listener of a rawServer.
func rawDial(addr string) (net.Conn, error) {
	if filepath.IsAbs(addr) {
		return net.Dial("unix", addr)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}) // a reference, between two processes of this program
	return t, t.Handshake()
}
