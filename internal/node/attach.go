package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	maxConns    = 1024             // sockets at a time, queries among them
	helloTime   = 10 * time.Second // for a process to say who it is
	noticeTime  = 5 * time.Second  // for a process to take a message from its socket
	farewell    = time.Second      // for a process to say Bye when the node closes
	maxLinkedTo = 256              // siblings of one process
)

// process is a driver or worker that attached.
type process struct {
	addr   id.Addr
	job    id.Job
	kind   string // wire.AttachDriver or wire.AttachWorker
	pid    int
	slot   int
	conn   *net.UnixConn
	link   *wire.Link
	since  uint64  // when it came, in ticks since the machine's start
	watch  *pidfd  // of drivers in other processes; else nil
	worker *worker // nil for drivers
	hello  wire.Hello

	said    sync.Mutex    // one message at a time on conn
	cleared chan struct{} // closed when nothing of it is left

	// Guarded by Node.mu.
	gone     bool
	draining bool                 // it wants no new work
	errands  map[id.Task]*errand  // what it runs that was placed
	cpu      map[*pool]holding    // that its placed tasks hold
	firm     int64                // CPU that its actors hold, in millionths
	linked   map[id.Proc]struct{} // siblings it has a ring pair with
}

// accept takes connections until the listener closes.
func (n *Node) accept() {
	for {
		c, err := n.ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // too many open files, say
			n.log.Warn("node: accept", "err", err)
			select {
			case <-n.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if err := n.Attach(c); err != nil {
			n.log.Warn("node: refused a process", "err", err)
		}
	}
}

// serve is the life of one connection.
func (n *Node) serve(c *net.UnixConn) {
	defer n.untrack(c)
	since := bootTicks()
	c.SetReadDeadline(time.Now().Add(helloTime))
	var h wire.Hello
	fds, err := wire.RecvMsg(c, &h)
	wire.CloseFDs(fds)
	if err != nil {
		if err != io.EOF {
			n.log.Warn("node: a process did not say who it is", "err", err)
		}
		return
	}
	c.SetReadDeadline(time.Time{})
	<-n.ready
	pid, err := n.checkPeer(c, &h)
	if err == nil && h.Kind == wire.AttachQuery {
		n.answer(c, h.What)
		return
	}
	var p *process
	if err == nil {
		p, err = n.admit(c, &h, pid, since)
	}
	if err != nil {
		n.log.Warn("node: refused a process", "kind", h.Kind, "pid", pid, "err", err)
		c.SetWriteDeadline(time.Now().Add(noticeTime))
		wire.SendMsg(c, &wire.Welcome{Err: asRecord(err, wire.ErrorUnavailable)}) // it may be gone already
		return
	}
	n.follow(p)
}

// checkPeer says whether a process may attach at all.
func (n *Node) checkPeer(c *net.UnixConn, h *wire.Hello) (pid int, err error) {
	pid, uid, err := wire.PeerOf(c)
	switch {
	case err != nil:
		return 0, err
	case uid != os.Getuid():
		return 0, fmt.Errorf("node: process %d belongs to user %d and this node to user %d: attach as the node's user", pid, uid, os.Getuid())
	case h.Version != wire.Version:
		return 0, &wire.ErrorRecord{Class: wire.ErrorVersion, Node: n.id, PID: pid,
			Text: fmt.Sprintf("node: the process speaks version %d and this node version %d: build both from the same release", h.Version, wire.Version)}
	case pid == 0:
		return 0, fmt.Errorf("node: the process cannot be seen from here: attach from the node's own container")
	}
	return pid, nil
}

// admit gives a process its slot, link and place in the tables, and welcomes it.
func (n *Node) admit(c *net.UnixConn, h *wire.Hello, pid int, since uint64) (p *process, err error) {
	if h.Proc == 0 || h.Kind != wire.AttachDriver && h.Kind != wire.AttachWorker {
		return nil, fmt.Errorf("node: attach: kind %q and process %v: want a driver or worker with a number of its own", h.Kind, h.Proc)
	}
	p = &process{addr: id.Addr{Node: n.id, Proc: h.Proc}, job: h.Job, kind: h.Kind, pid: pid, since: since, conn: c, hello: *h,
		cleared: make(chan struct{}), errands: map[id.Task]*errand{}, linked: map[id.Proc]struct{}{}}
	if h.Kind == wire.AttachWorker {
		n.awaitSpawn(h.Worker)
	}
	if p.slot, err = n.arena.Admit(pid, n.epoch); err != nil {
		return nil, fmt.Errorf("node: attach: %w", err)
	}
	defer func(slot int) {
		if err != nil {
			n.arena.Reap(slot)
		}
	}(p.slot)
	fd, pair, err := n.openRings(p.slot, 0)
	if err != nil {
		return nil, err
	}
	defer shm.CloseFD(fd)
	p.link = wire.NewLink(pair)
	p.said.Lock() // from enter on others may have something to say to it, and the welcome comes first
	defer p.said.Unlock()
	if err := n.enter(p); err != nil {
		p.link.Close()
		return nil, err
	}
	n.arena.SetCPUParty(p.slot, binary.BigEndian.Uint32(p.job[:])|1<<31) // no slot is like it
	n.poller.Add(p.link, func(b []byte) { n.fromProcess(p, b) }, func(err error) {
		n.log.Warn("node: a process wrote nonsense into its ring; it is dropped", "pid", p.pid, "err", err)
		p.conn.Close()
	})
	arenaFDs := n.arena.FDs()
	w := wire.Welcome{Node: n.id, Epoch: n.epoch, Slot: p.slot, CPUs: n.cfg.CPUs, RingSize: wire.RingCapacity, ArenaFDs: len(arenaFDs), Job: n.jobOf(p.job)}
	c.SetWriteDeadline(time.Now().Add(noticeTime))
	if err := wire.SendMsg(c, &w, append(slices.Clone(arenaFDs), fd)...); err != nil {
		n.log.Warn("node: a process went before it was welcome", "pid", pid, "err", err)
	}
	n.arena.Ring(n.arena.Client())
	n.tellRecord(p)
	n.event("attach", "up", p.addr.String(), int64(pid), p.kind)
	n.log.Debug("node: attached", "kind", p.kind, "pid", pid, "proc", p.addr.Proc, "job", p.job, "slot", p.slot)
	return p, nil
}

// openRings makes a ring pair and opens one side of it towards the client in a slot.
func (n *Node) openRings(slot, side int) (fd int, pair *shm.RingPair, err error) {
	if fd, err = shm.CreateRingPair(wire.RingCapacity); err != nil {
		return -1, nil, fmt.Errorf("node: attach: %w", err)
	}
	if pair, err = shm.OpenRingPair(fd, side, n.arena.Doorbell(slot)); err != nil {
		shm.CloseFD(fd)
		return -1, nil, fmt.Errorf("node: attach: %w", err)
	}
	return fd, pair, nil
}

// enter puts a process into the tables, with its job or its worker.
func (n *Node) enter(p *process) (err error) {
	if p.kind == wire.AttachDriver && p.pid != os.Getpid() {
		if p.watch, err = watchPeer(p.conn, p.pid, p.since); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	procs := *n.procs.Load()
	switch {
	case n.stopped || n.draining && p.kind == wire.AttachDriver:
		err = &wire.ErrorRecord{Class: wire.ErrorClosed, Text: "node: attach: the node is closing", Node: n.id}
	case procs[p.addr.Proc] != nil:
		err = fmt.Errorf("node: attach: process number %v is taken", p.addr.Proc)
	case p.kind == wire.AttachDriver:
		err = n.enterDriverLocked(p)
	default:
		err = n.enterWorkerLocked(p)
	}
	if err != nil {
		if p.watch != nil {
			p.watch.close()
		}
		return err
	}
	n.setProcsLocked(func(m map[id.Proc]*process) { m[p.addr.Proc] = p })
	if p.worker != nil {
		n.flushWorkerLocked(p.worker)
	}
	return nil
}

// setProcsLocked changes a copy of the table, so that frames find their way without a lock.
func (n *Node) setProcsLocked(change func(map[id.Proc]*process)) {
	old := *n.procs.Load()
	m := make(map[id.Proc]*process, len(old)+1)
	for k, v := range old {
		m[k] = v
	}
	change(m)
	n.procs.Store(&m)
}

// follow waits for a process's end. A worker is cleared away by the goroutine that waits for its death; a
// driver when it says Bye, when it is dead, or, if it runs in this process, when its socket closes.
func (n *Node) follow(p *process) {
	if p.watch != nil {
		n.spawn(func() {
			stop := context.AfterFunc(n.ctx, p.watch.close) // its holdings then go with the arena
			defer stop()
			if p.watch.wait() {
				n.clear(p, "the process died")
				p.conn.Close()
			}
		})
	}
	for {
		var m wire.Notice
		fds, err := wire.RecvMsg(p.conn, &m)
		wire.CloseFDs(fds)
		switch {
		case err == nil && m.Bye == nil:
			continue
		case err == nil && p.worker == nil:
			n.keepTapes(p.hello.Env, p)
			n.tellDropped(p.job) // while there is somebody to tell
			n.clear(p, "the driver detached")
			p.notify(&wire.Notice{Bye: &wire.Bye{}})
			if p.watch != nil {
				p.watch.close()
			}
			return
		case err == nil:
			p.notify(&wire.Notice{Bye: &wire.Bye{}})
			continue // until it closes its socket
		case p.worker != nil:
			n.endWorker(p.worker, "") // it may be ending by itself: its exit status says more
		case p.watch == nil:
			n.clear(p, "the driver closed its connection")
		}
		return
	}
}

// notify sends a message on a process's socket; one that does not read gets none.
func (p *process) notify(m *wire.Notice, fds ...int) error {
	p.said.Lock()
	defer p.said.Unlock()
	p.conn.SetWriteDeadline(time.Now().Add(noticeTime))
	return wire.SendMsg(p.conn, m, fds...)
}

// clear removes everything of a process that no longer touches the arena: that is dead, or has said Bye. It
// returns when that is done, whoever does it.
func (n *Node) clear(p *process, why string) {
	n.mu.Lock()
	if p.gone {
		n.mu.Unlock()
		<-p.cleared
		return
	}
	p.gone = true
	n.parting[p.addr.Proc] = true
	n.setProcsLocked(func(m map[id.Proc]*process) { delete(m, p.addr.Proc) })
	for to := range p.linked {
		if q := (*n.procs.Load())[to]; q != nil {
			delete(q.linked, p.addr.Proc)
		}
	}
	n.releaseAllLocked(p)
	n.mu.Unlock()

	n.poller.Remove(p.link)
	p.link.DrainLast(func(b []byte) { n.fromProcess(p, b) }) // it comes before the news of its end
	p.link.Close()
	n.arena.Reap(p.slot)
	n.freeNames(p.addr)
	n.event("attach", "down", p.addr.String(), int64(p.pid), why)
	n.log.Debug("node: process gone", "kind", p.kind, "pid", p.pid, "proc", p.addr.Proc, "why", why)
	n.tellDead([]id.Addr{p.addr}, why)
	n.mu.Lock()
	delete(n.parting, p.addr.Proc)
	n.mu.Unlock()
	if p.worker == nil {
		n.endJob(p.job, true)
	}
	n.advance()
	close(p.cleared)
}

// detachAll ends all processes when the node closes: workers are killed, drivers told and given a moment.
func (n *Node) detachAll() {
	n.mu.Lock()
	n.dropWaitingLocked(func(e *errand) bool { n.turnAwayLocked(e); return true })
	var workers []*worker
	for _, w := range n.workers {
		workers = append(workers, w)
	}
	n.mu.Unlock()
	for _, w := range workers {
		n.endWorker(w, "the node closed")
	}
	var drivers sync.WaitGroup
	for _, p := range *n.procs.Load() {
		if p.worker == nil {
			drivers.Go(func() {
				p.notify(&wire.Notice{Bye: &wire.Bye{Why: "the node closed"}})
				select {
				case <-p.cleared:
				case <-time.After(farewell):
				}
			})
		}
	}
	drivers.Wait()
	for _, w := range workers {
		<-w.done
	}
	n.mu.Lock()
	conns := make([]*net.UnixConn, 0, len(n.conns))
	for c := range n.conns {
		conns = append(conns, c)
	}
	n.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// introduce gives two processes of this node a ring pair.
func (n *Node) introduce(p *process, to id.Proc) error {
	n.mu.Lock()
	q := (*n.procs.Load())[to] // under the lock: what has gone is in nobody's list
	if q == nil || q == p || p.gone {
		n.mu.Unlock()
		return &wire.ErrorRecord{Class: wire.ErrorUnavailable, Text: fmt.Sprintf("node: link: no process %v on node %s", to, n.id.Short()), Node: n.id}
	}
	_, there := p.linked[to]
	full := len(p.linked) >= maxLinkedTo || len(q.linked) >= maxLinkedTo
	if !there && !full {
		p.linked[to], q.linked[p.addr.Proc] = struct{}{}, struct{}{}
	}
	n.mu.Unlock()
	if there {
		return nil
	}
	if full {
		return fmt.Errorf("node: link: a process is linked with %d others already; frames go by the node", maxLinkedTo)
	}
	err := offer(p, q)
	if err != nil {
		n.mu.Lock()
		delete(p.linked, to)
		delete(q.linked, p.addr.Proc)
		n.mu.Unlock()
	}
	return err
}

// offer makes a ring pair of two processes, and gives each its end.
func offer(p, q *process) error {
	fd, err := shm.CreateRingPair(wire.RingCapacity)
	if err != nil {
		return fmt.Errorf("node: link: %w", err)
	}
	defer shm.CloseFD(fd)
	if err := q.notify(&wire.Notice{Offer: &wire.Offer{Proc: p.addr.Proc, Slot: p.slot, Side: 1}}, fd); err != nil {
		return fmt.Errorf("node: link: %w", err)
	}
	if err := p.notify(&wire.Notice{Offer: &wire.Offer{Proc: q.addr.Proc, Slot: q.slot, Side: 0}}, fd); err != nil {
		return fmt.Errorf("node: link: %w", err)
	}
	return nil
}

// asRecord makes an error one that can travel.
func asRecord(err error, class wire.ErrorClass) *wire.ErrorRecord {
	var e *wire.ErrorRecord
	if errors.As(err, &e) {
		return e
	}
	return &wire.ErrorRecord{Class: class, Text: err.Error()}
}
