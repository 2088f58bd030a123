package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/owner"
	"github.com/kadrehq/kadre/sched"
)

// Process is this process's attachment to a node.
type Process struct {
	// constant after Attach
	id        id.Proc
	self      id.Addr
	job       id.Job
	epoch     uint64
	pid       int
	cfg       Config
	dropHints bool // test setting: references name no holders
	conn      *net.UnixConn
	arena     *arena.Arena
	engine    *sched.Engine
	ids       *id.Source
	log       *slog.Logger
	ctx       context.Context // bounds everything that the process started by itself
	cancel    context.CancelFunc
	root      context.Context // what tasks of other processes stand on
	wg        sync.WaitGroup

	calls   wire.Calls
	inbox   inbox
	borrows atomic.Int64 // how many are in asks
	printed printer      // workers' lines
	stats   struct {
		retried, exported, imported atomic.Int64
	}

	pace     pace
	idle     idleCollections
	stopOnce sync.Once
	stop     chan struct{} // the node wants the process to end, or is gone
	bye      chan struct{} // the node has answered our Bye, or is gone
	poller   *wire.Poller
	carry    *carrier
	feed     *feed // nil unless every task runs in a worker process
	pollEnd  atomic.Bool
	over     atomic.Bool // closed is set

	mu       sync.Mutex
	closed   error
	table    *owner.Table
	objects  map[id.Object]*object
	groups   map[id.Group]*Group // placement groups that it made
	dead     map[id.Addr]time.Time
	asks     map[*borrowing]struct{} // registrations with owners under way
	actors   map[id.Actor]*instance
	claims   map[id.Actor]*Claim   // of actors that are being made and have names
	fates    map[id.Actor]string   // why actors with names have ended: the last of them
	early    map[*Future][]*Future // tasks to be placed once what they take is done
	sessions map[*session]struct{}
	links    map[id.Proc]*sibling
	streams  map[id.Task]*stream // of own generators that are read
	let      let
	recalled recalled
	bounds   bounds
	lines    lines
	waits    unfinished
	outbox   outbox
	node     *wire.Link
}

// worker is the process-wide attachment of a worker process.
var worker atomic.Pointer[Process]

// Worker is the attachment of a worker process; nil elsewhere.
func Worker() *Process { return worker.Load() }

const attachTimeout = 10 * time.Second

// Attach joins the node at the other end of cfg.Conn. ctx bounds the handshake. Registering functions ends
// with the first Attach.
func Attach(ctx context.Context, cfg Config) (*Process, error) {
	closeRegistry()
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	deadline := time.Now().Add(attachTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	cfg.Conn.SetDeadline(deadline)
	h := hello(cfg)
	if err := wire.SendMsg(cfg.Conn, &h); err != nil {
		cfg.Conn.Close()
		return nil, fmt.Errorf("kadre: attaching to the node: %w", err)
	}
	var w wire.Welcome
	fds, err := wire.RecvMsg(cfg.Conn, &w)
	if err == nil && w.Err != nil {
		err = failure(w.Err)
	}
	if err == nil && len(fds) != w.ArenaFDs+1 {
		err = fmt.Errorf("%d descriptors instead of %d", len(fds), w.ArenaFDs+1)
	}
	if err != nil {
		wire.CloseFDs(fds)
		cfg.Conn.Close()
		return nil, fmt.Errorf("kadre: attaching to the node: %w", err)
	}
	cfg.Conn.SetDeadline(time.Time{})
	p := &Process{id: h.Proc, self: id.Addr{Node: w.Node, Proc: h.Proc}, job: w.Job.Job, epoch: w.Epoch,
		pid: os.Getpid(), cfg: cfg, conn: cfg.Conn, ids: id.NewSource(h.Proc), log: cfg.Logger,
		dropHints: os.Getenv("KADRE_TEST_LOCATE") == "directory",
		stop:      make(chan struct{}), bye: make(chan struct{}), table: owner.NewTable(),
		objects: map[id.Object]*object{}, dead: map[id.Addr]time.Time{}, groups: map[id.Group]*Group{}, asks: map[*borrowing]struct{}{},
		actors: map[id.Actor]*instance{}, claims: map[id.Actor]*Claim{}, fates: map[id.Actor]string{}, sessions: map[*session]struct{}{}, links: map[id.Proc]*sibling{},
		printed: printer{to: os.Stderr}, early: map[*Future][]*Future{}, streams: map[id.Task]*stream{}, recalled: recalled{}}
	if p.arena, err = arena.Open(fds[:w.ArenaFDs], w.Slot, w.Epoch); err != nil {
		wire.CloseFDs(fds)
		cfg.Conn.Close()
		return nil, fmt.Errorf("kadre: opening the node's shared memory: %w", err)
	}
	pair, err := shm.OpenRingPair(fds[w.ArenaFDs], 1, p.arena.Doorbell(0))
	shm.CloseFD(fds[w.ArenaFDs])
	if err != nil {
		p.arena.Close()
		cfg.Conn.Close()
		return nil, fmt.Errorf("kadre: opening the rings to the node: %w", err)
	}
	p.node = wire.NewLink(pair)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	slots := max(1, int(w.CPUs+0.999))
	p.carry = newCarrier(p)
	most, bytes := mostUnfinished()
	ec := sched.Config{Slots: slots, Queued: int(most), CPU: newCPUs(p.arena), User: p, Priority: priorityOf, Standstill: p.standstill, Logger: cfg.Logger}
	if cfg.Worker != 0 {
		ec.Blocked = p.carry.blocked
	} else if cfg.Isolate {
		p.feed = newFeed(p)
		ec.Poll, ec.Ended = p.look, p.feed.expired
	}
	p.engine = sched.New(ec)
	p.root = p.engine.NewRoot(p.ctx)
	p.waits.init(p, most, bytes)
	p.bounds.p, p.lines.p, p.outbox.p = p, p, p
	if cfg.Worker != 0 {
		worker.Store(p)
	}
	raiseFloor()
	p.poller = wire.NewPoller(p.arena, func() { p.arena.Ring(p.arena.Client()) })
	p.join(p.node, p.handle)
	p.wg.Add(1)
	go p.carry.run(0)
	if cfg.Worker != 0 {
		p.wg.Go(p.carry.watch)
	}
	p.wg.Go(p.listen)
	p.wg.Go(p.watch)
	p.engine.OnQueued(p.onQueued)
	return p, nil
}

func hello(cfg Config) wire.Hello {
	h := wire.Hello{Version: wire.Version, Kind: wire.AttachDriver, PID: os.Getpid(), Proc: id.NewProc(),
		Args: os.Args[1:], Env: cfg.Env, LogToDriver: cfg.LogToDriver, Isolate: cfg.Isolate, Job: id.NewJob()}
	if exe, err := os.Executable(); err == nil {
		h.Exe = exe
	}
	if cfg.Worker != 0 {
		h.Kind, h.Worker, h.Job = wire.AttachWorker, cfg.Worker, id.Job{}
	}
	return h
}

// Self is the address of the process.
func (p *Process) Self() id.Addr { return p.self }

// Job is the job that the process works for.
func (p *Process) Job() id.Job { return p.job }

// Stopping is closed when the node wants the process to end, or is gone.
func (p *Process) Stopping() <-chan struct{} { return p.stop }

// Stats counts what crossed the process's border.
type Stats struct {
	Retried  int64 // tasks and objects of this process that were run again
	Exported int64 // tasks that other processes took or were given
	Imported int64 // tasks that came from other processes
	Objects  int   // entries of the table of references
}

// Stats is a copy.
func (p *Process) Stats() Stats {
	p.mu.Lock()
	n := len(p.objects)
	p.mu.Unlock()
	return Stats{p.stats.retried.Load(), p.stats.exported.Load(), p.stats.imported.Load(), n}
}

// listen reads the socket: links that are offered, the node's farewell, its death.
func (p *Process) listen() {
	for {
		var n wire.Notice
		fds, err := wire.RecvMsg(p.conn, &n)
		switch {
		case err != nil:
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				p.log.Debug("kadre: node's socket", "err", err)
			}
			p.lostNode()
			return
		case n.Offer != nil && len(fds) == 1:
			p.offered(n.Offer, fds[0])
		case n.Bye != nil:
			p.endStop()
			if p.Closed() {
				p.mu.Lock()
				select {
				case <-p.bye:
				default:
					close(p.bye)
				}
				p.mu.Unlock()
			}
		default:
			wire.CloseFDs(fds)
		}
	}
}

func (p *Process) endStop() { p.stopOnce.Do(func() { close(p.stop) }) }

// Closed says whether p takes no calls any more.
func (p *Process) Closed() bool { return p.over.Load() }

// lostNode ends everything that waits for the node.
func (p *Process) lostNode() {
	p.endStop()
	p.mu.Lock()
	select {
	case <-p.bye:
	default:
		close(p.bye)
	}
	closing := p.closed != nil
	var pending []*Future
	for _, o := range p.objects {
		if f := o.fut.Value(); f != nil {
			pending = append(pending, f)
		}
	}
	p.mu.Unlock()
	err := &UnavailableError{Text: "the node that this process was attached to has ended; start it again, and then the program"}
	p.calls.Close(err)
	p.feed.close(err)
	if !closing {
		for _, f := range pending {
			f.Fail(err)
		}
	}
}

// Drain waits until the engine has no tasks left, or ctx ends.
func (p *Process) Drain(ctx context.Context) error {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for p.engine.Queued() > 0 || p.engine.Stats().Running > 0 || p.feed.busy() || p.outbox.busy() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// Close ends the job of a driver, or a worker's service: 1. no new work, what is unfinished fails;
// 2. executors end; 3. the node is told, clears the process away, and ends the job's workers; 4. the
// process's own goroutines end, and the last lines of workers are printed; 5. the memory is unmapped. ctx bounds 2 and 3.
func (p *Process) Close(ctx context.Context) error {
	p.mu.Lock()
	if p.closed != nil {
		p.mu.Unlock()
		return nil
	}
	p.closed = ErrClosed
	p.over.Store(true)
	var pending []*Future
	for _, o := range p.objects {
		if f := o.fut.Value(); f != nil {
			pending = append(pending, f)
		}
	}
	p.mu.Unlock()
	early := fmt.Errorf("%w: the runtime was closed before the task was done", ErrClosed)
	for _, f := range pending {
		f.Fail(early)
	}
	p.feed.close(early)
	p.bounds.close()
	err := p.engine.Close(ctx)
	if e := wire.SendMsg(p.conn, &wire.Notice{Bye: &wire.Bye{Why: "closed"}}); e == nil {
		select {
		case <-p.bye:
		case <-ctx.Done():
			err = errors.Join(err, fmt.Errorf("kadre: the node did not answer the farewell: %w", ctx.Err()))
		}
	}
	p.calls.Close(ErrClosed)
	p.cancel()
	p.conn.Close()
	p.pollEnd.Store(true)
	p.arena.Ring(p.arena.Client())
	p.wg.Wait()
	p.lastLines()
	p.node.Close()
	for _, s := range p.links {
		s.close()
	}
	lowerFloor()
	if e := p.arena.Close(); err == nil {
		err = e
	}
	return err
}
