package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/p2p"
)

// Node is a running node.
type Node struct {
	// Constant after Start.
	cfg       Config
	log       *slog.Logger
	id        id.Node
	epoch     uint64
	started   time.Time
	dir       string // runtime folder of the cluster
	state     string // state folder
	short     string // name of our files in dir
	socket    string
	stateLock *os.File
	lock      *os.File
	ln        *net.UnixListener
	arena     *arena.Arena
	host      *p2p.Host // nil when private
	store     *objstore.Store
	poller    *wire.Poller
	spawner   *spawner
	steal     *stealer
	ctx       context.Context // ends when the node closes
	cancel    context.CancelFunc
	ready     chan struct{} // closed when Start is through, or has failed
	done      chan struct{} // closed when the node is told to stop

	early       earlyEvents
	gate        sync.Mutex // a leaf
	shutting    bool       // under gate: no new goroutines
	wg          sync.WaitGroup
	polling     sync.WaitGroup // the poll goroutine, which outlives the others
	pollStop    atomic.Bool
	busy        atomic.Int64 // requests that have a goroutine
	pressed     atomic.Int64 // when processes were last asked to collect garbage, Unix nanoseconds
	calls       wire.Calls
	events      trace.Ring
	deadlocks   deadlocks
	names       names
	metrics     *metrics // nil where none are served
	tapes       tapes    // of processes that have ended
	orphans     orphans
	insides     insides
	lease       time.Duration
	procs       atomic.Pointer[map[id.Proc]*process] // changed under mu
	stats       counters
	told        told      // what the peers know of us; the ticker's
	collected   time.Time // when idle processes were last asked to collect; the ticker's
	tide        tide      // how much of the arena was in use; the ticker's
	worked      time.Time // when there was work last; the ticker's
	drowsy      atomic.Bool
	stirred     chan struct{} // wakes the ticker
	hired       chan struct{} // wakes the one who weighs workers
	recordUntil atomic.Int64  // Unix nanoseconds

	closing  sync.Once
	closed   chan struct{} // closed when Close is through
	closeErr error

	mu       sync.Mutex
	stopped  bool // Close has begun
	draining bool
	conns    map[*net.UnixConn]struct{}
	jobs     map[id.Job]*job
	ended    endedJobs
	parting  map[id.Proc]bool // processes that are gone, and the news of it is not told yet
	workers  map[uint64]*worker
	members  map[id.Node]*member
	place    placement
	groups   map[id.Group]*group
	moves    map[move]*wire.Moved // while several errands are started; else nil
}

type counters struct {
	framesIn, framesOut   atomic.Uint64 // of other nodes
	bytesIn, bytesOut     atomic.Uint64
	dropped               atomic.Uint64
	stealsSent            atomic.Uint64
	stealsDenied          atomic.Uint64
	stealsGranted         atomic.Uint64
	tasksIn, tasksOut     atomic.Uint64
	workersStarted        atomic.Uint64
	linesDropped, exeSent atomic.Uint64
}

// Start runs a node. The context bounds starting only.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.SpillDir != "" {
		var err error
		if cfg.SpillDir, err = filepath.Abs(cfg.SpillDir); err != nil {
			return nil, fmt.Errorf("node: spill folder: %w", err)
		}
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger, started: time.Now(),
		stirred: make(chan struct{}, 1), hired: make(chan struct{}, 1), ready: make(chan struct{}), done: make(chan struct{}), closed: make(chan struct{}),
		conns: map[*net.UnixConn]struct{}{}, jobs: map[id.Job]*job{}, groups: map[id.Group]*group{}, workers: map[uint64]*worker{},
		members: map[id.Node]*member{}, parting: map[id.Proc]bool{}, deadlocks: deadlocks{silent: map[string]int{}},
		orphans: orphans{died: make(chan struct{}, 1), alive: map[id.Proc]struct{}{}, down: map[id.Node]time.Time{}}, insides: insides{of: map[id.Node]*inside{}}, lease: leaseTime(),
	}
	n.place.init(cfg)
	n.steal = newStealer(n)
	n.procs.Store(&map[id.Proc]*process{})
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.open(ctx); err != nil {
		n.abandon()
		return nil, err
	}
	n.log.Info("node: started", "node", n.id.Short(), "socket", n.socket, "cpus", cfg.CPUs, "store", n.arena.Size(), "backing", n.arena.Backing().Kind)
	return n, nil
}

// open is Start: folders, arena, network, store, socket, and then the goroutines.
func (n *Node) open(ctx context.Context) (err error) {
	if n.dir, err = runtimeDir(n.cfg.RuntimeDir, n.cfg.Cluster); err != nil {
		return err
	}
	if _, err = sweep(n.dir); err != nil {
		return err
	}
	if n.cfg.Private {
		n.name(privateName())
		n.epoch = uint64(n.started.UnixMicro())
	}
	if err = n.openFolders(); err != nil {
		return err
	}
	size := n.cfg.ObjectStoreMemory
	if size == 0 && n.cfg.Private {
		size = min(arena.DefaultSize(), privateStoreSize)
	}
	if n.arena, err = arena.Create(arena.Config{Size: size, Dir: n.state}); err != nil {
		return fmt.Errorf("node: object store: %w", err)
	}
	if err = n.arena.SetCPUs(int(n.cfg.CPUs * 1000)); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	n.poller = wire.NewPoller(n.arena, func() { n.arena.Ring(n.arena.Client()) })
	if !n.cfg.Private {
		if err = n.openNetwork(ctx); err != nil {
			return err
		}
	}
	if err = n.openStore(); err != nil {
		return err
	}
	if err = n.openMetrics(); err != nil {
		return err
	}
	if err = n.listen(); err != nil {
		return err
	}
	n.openNames()
	n.steal.begin()
	n.spawner = newSpawner()
	n.polling.Go(func() { n.poller.Run(0, n.pollStop.Load, wire.Hooks{Each: n.steal.poked}) })
	n.early.open()
	n.spawn(n.accept)
	n.spawn(n.tick)
	n.spawn(n.tendNames)
	n.spawn(n.watchMemory)
	n.spawn(n.freeOrphans)
	if n.host != nil {
		n.spawn(n.provideExes)
	}
	close(n.ready)
	return nil
}

func (n *Node) name(name id.Node) { n.id, n.short = name, name.Short() }

func privateName() id.Node {
	var b [8]byte
	rand.Read(b[:])
	return id.Node("private-" + hex.EncodeToString(b[:]))
}

// openFolders finds the state folder. A private node's is a temporary one that its record names, so the
// record is written before the folder is made.
func (n *Node) openFolders() (err error) {
	if !n.cfg.Private || n.cfg.StateDir != "" {
		if n.state, n.stateLock, err = openState(n.cfg); err != nil {
			return err
		}
		return prepareState(n.state)
	}
	n.state = filepath.Join(n.dir, n.short+".state")
	if err := n.claim(); err != nil {
		return err
	}
	if err := n.register(); err != nil {
		return err
	}
	if err := privateDir(n.state); err != nil {
		return err
	}
	return prepareState(n.state)
}

func (n *Node) openNetwork(ctx context.Context) error {
	meta, busy := n.describe()
	n.told = told{meta, busy}
	host, err := p2p.Start(ctx, p2p.Config{
		Cluster: n.cfg.Cluster, StateDir: n.state, RuntimeDir: n.dir, TokenFile: n.cfg.TokenFile,
		Listen: n.cfg.Listen, Join: n.cfg.Join, Meta: meta, Load: busy, Logger: n.log,
		DenyFile: n.cfg.DenyFile, MDNS: n.cfg.TokenFile != "" && !n.cfg.NoMDNS,
		Control: n.fromNode, Serve: n.serveBulk, Event: n.memberEvent,
	})
	if err != nil {
		return err
	}
	n.host = host
	n.name(host.ID())
	n.epoch = host.Epoch()
	return nil
}

// claim finds the path of the socket and locks our name in the runtime folder.
func (n *Node) claim() (err error) {
	if n.socket = n.cfg.Socket; n.socket == "" {
		n.socket = filepath.Join(n.dir, n.short+".sock")
	}
	if n.socket, err = filepath.Abs(n.socket); err != nil {
		return fmt.Errorf("node: socket: %w", err)
	}
	if len(n.socket) > maxSocketPath {
		return fmt.Errorf("node: the socket path %s has %d bytes, at most %d: give a shorter one with --socket, or a shorter XDG_RUNTIME_DIR", n.socket, len(n.socket), maxSocketPath)
	}
	n.lock, err = lockFile(filepath.Join(n.dir, n.short+".lock"))
	if err == nil && n.lock == nil {
		err = fmt.Errorf("node: another node is running as %s: give this one its own --state-dir", n.short)
	}
	return err
}

// register writes the record that lets others find us and clean up after us.
func (n *Node) register() error {
	r := record{Node: n.id, Epoch: n.epoch, PID: os.Getpid(), Socket: n.socket, Started: n.started, StateDir: n.state, Private: n.cfg.Private}
	if n.stateLock == nil {
		r.Temp = []string{n.state}
	} else {
		r.Temp = []string{filepath.Join(n.state, scratchDir)}
	}
	r.Temp = append(r.Temp, n.spillDir())
	return writeRecord(n.dir, n.short, r)
}

// listen opens the socket. The record of a node that can be found comes after it: whoever finds it can attach.
func (n *Node) listen() error {
	if n.lock == nil {
		if err := n.claim(); err != nil {
			return err
		}
	}
	if c, err := net.Dial("unix", n.socket); err == nil {
		c.Close()
		return fmt.Errorf("node: a process listens on the socket %s already: choose another with --socket", n.socket)
	}
	if s, err := os.Lstat(n.socket); err == nil && s.Mode().Type() == os.ModeSocket {
		os.Remove(n.socket) // nobody listens on it
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: n.socket, Net: "unix"})
	if err != nil {
		return fmt.Errorf("node: socket: %w", err)
	}
	n.ln = ln
	if err := os.Chmod(n.socket, 0o600); err != nil {
		return fmt.Errorf("node: socket: %w", err)
	}
	return n.register()
}

// ID is the node's name.
func (n *Node) ID() id.Node { return n.id }

// Epoch tells this start of the node from others.
func (n *Node) Epoch() uint64 { return n.epoch }

// Socket is where processes attach.
func (n *Node) Socket() string { return n.socket }

// Addrs are where other nodes reach this one; none when it is private.
func (n *Node) Addrs() []string {
	if n.host == nil {
		return nil
	}
	return n.host.Addrs()
}

// Done is closed when the node has been told to stop, by Drain or Close.
func (n *Node) Done() <-chan struct{} { return n.done }

// Attach serves a process at the other end of a connected unix socket, which the node owns from now on.
func (n *Node) Attach(c *net.UnixConn) error {
	n.mu.Lock()
	ok := !n.stopped && len(n.conns) < maxConns
	if ok {
		n.conns[c] = struct{}{}
	}
	n.mu.Unlock()
	if ok && n.spawn(func() { n.serve(c) }) {
		return nil
	}
	n.untrack(c)
	return fmt.Errorf("node: attach: the node has closed, or %d processes are attached already", maxConns)
}

func (n *Node) untrack(c *net.UnixConn) {
	n.mu.Lock()
	delete(n.conns, c)
	n.mu.Unlock()
	c.Close()
}

// spawn runs f on a goroutine that Close waits for; false when the node is closing.
func (n *Node) spawn(f func()) bool {
	n.gate.Lock()
	defer n.gate.Unlock()
	if n.shutting {
		return false
	}
	n.wg.Go(f)
	return true
}
