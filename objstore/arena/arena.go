package arena

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/shm"
)

// ID names an object.
type ID = id.Object

// Arena is one process's view of the arena. All methods may be called by any goroutine.
type Arena struct {
	// Constant after construction.
	geometry
	fd      int
	backing shm.Backing
	client  int
	nearBit uint64 // this client's holder bit in main words; 0 where it has it in further words
	epoch   uint64
	recheck time.Duration   // how long a lost wake-up may go unnoticed
	hook    func(killPoint) // tests kill the process here

	// Views of the mapping; what they show belongs to all processes.
	mem     []byte // read-write, everything
	ro      []byte // read-only, the data
	sp      *super
	clients []client
	cpus    []atomic.Uint64
	shards  []shard
	index   []bucket
	hints   []atomic.Uint64
	grans   []atomic.Uint64
	blocks  []atomic.Uint64
	entries []entry
	fars    []far
	kepts   []atomic.Uint64 // by client up to nearClients, then by entry
	kept    []atomic.Uint64 // those of this client; nil where it is not among them

	local  []atomic.Uint32 // for other clients, by entry: how many Holds this process has, see far.go
	looked looked          // at which pages of the data, see LookAhead
	closed atomic.Bool
	done   chan struct{} // closed by Close
	wait   waits
	guard  guard

	trimUnit int64 // how many granules go at a time; constant but for tests

	admission sync.Mutex // node: slots of clients; before mu

	headroom headroom // of the system; after mu

	mu     sync.Mutex // guards where to look for room, never what is taken; and that fd is open
	spare  spares
	blocky magazines
	runs   []run // freed a moment ago
}

// Create makes an arena and maps it as client 0, the node.
func Create(cfg Config) (*Arena, error) {
	cfg = cfg.withDefaults()
	g := geometry{entries: int64(cfg.Entries), granules: (cfg.Size + Granule - 1) / Granule, clients: int64(cfg.Clients)}
	if err := g.check(); err != nil {
		return nil, err
	}
	g.place()
	fd, backing, err := shm.CreateFile(g.size, cfg.Kind, cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("arena: create: %w", err)
	}
	err = shm.Commit(fd, 0, g.offEntries)
	if err == nil {
		err = commitKept(fd, &g, 0)
	}
	if err != nil {
		shm.CloseFD(fd)
		return nil, fmt.Errorf("arena: create: %w", err)
	}
	a, err := attach(fd, g, backing)
	if err != nil {
		shm.CloseFD(fd)
		return nil, err
	}
	s := a.sp
	s.magic, s.version, s.kind = magic, version, kindNumber(backing.Kind)
	s.entries, s.granules, s.clients = uint64(g.entries), uint64(g.granules), uint64(g.clients)
	s.sum = s.checksum(g.size)
	s.clientHigh.Store(1)
	a.setClock(time.Now())
	a.clients[0].pid.Store(uint64(os.Getpid()))
	return a, nil
}

// Open maps an arena that the node created, given the descriptors it passed and the client slot it admitted
// this process to. It takes the descriptors over.
func Open(fds []int, client int, epoch uint64) (*Arena, error) {
	if len(fds) != 1 {
		return nil, fmt.Errorf("arena: open: got %d descriptors, want 1: node and process are of different versions", len(fds))
	}
	g, kind, err := readSuper(fds[0])
	if err != nil {
		return nil, err
	}
	if client < 1 || client >= int(g.clients) || epoch == 0 {
		return nil, fmt.Errorf("arena: open: client %d of epoch %d is not a slot for a process (1 to %d)", client, epoch, g.clients-1)
	}
	a, err := attach(fds[0], g, shm.Backing{Kind: kind})
	if err != nil {
		return nil, err
	}
	if got := a.clients[client].epoch.Load(); got != epoch {
		shm.Unmap(a.mem)
		shm.Unmap(a.ro)
		return nil, fmt.Errorf("arena: open: slot %d belongs to epoch %d, not to our %d: this process was reaped; attach again", client, got, epoch)
	}
	a.epoch = epoch
	a.become(client)
	return a, nil
}

// readSuper reads and checks the superblock.
func readSuper(fd int) (g geometry, kind string, err error) {
	size, err := shm.FileSize(fd)
	if err != nil {
		return g, "", fmt.Errorf("arena: open: %w", err)
	}
	head, err := shm.MapRO(fd, 0, pageSize)
	if err != nil {
		return g, "", fmt.Errorf("arena: open: %w", err)
	}
	defer shm.Unmap(head)
	s := &within[super](head, 0, 1)[0]
	if s.magic != magic || s.version != version || s.sum != s.checksum(size) {
		return g, "", fmt.Errorf("arena: open: superblock with magic %x, version %d over %d bytes is not ours (version %d): start node and processes from the same build", s.magic, s.version, size, version)
	}
	if s.entries > maxEntries || s.granules > maxGranules || s.clients > maxClients || s.kind >= uint64(len(kinds)) {
		return g, "", fmt.Errorf("arena: open: superblock with %d entries, %d granules, %d clients, kind %d is out of bounds", s.entries, s.granules, s.clients, s.kind)
	}
	g = geometry{entries: int64(s.entries), granules: int64(s.granules), clients: int64(s.clients)}
	if err := g.check(); err != nil {
		return g, "", err
	}
	g.place()
	if g.size != size {
		return g, "", fmt.Errorf("arena: open: a file of %d bytes for a layout of %d: start node and processes from the same build", size, g.size)
	}
	return g, kinds[s.kind], nil
}

// kinds are the backings by their number in the superblock.
var kinds = [...]string{shm.KindHuge, shm.KindMemfd, shm.KindFile}

func kindNumber(kind string) uint64 {
	for i, k := range kinds {
		if k == kind {
			return uint64(i)
		}
	}
	return 0
}

// attach maps the file and lays the views over it.
func attach(fd int, g geometry, backing shm.Backing) (*Arena, error) {
	mem, err := shm.MapRW(fd, 0, g.size)
	if err != nil {
		return nil, fmt.Errorf("arena: %w", err)
	}
	ro, err := shm.MapRO(fd, g.offData, g.granules*Granule)
	if err != nil {
		shm.Unmap(mem)
		return nil, fmt.Errorf("arena: %w", err)
	}
	a := &Arena{
		geometry: g, fd: fd, backing: backing, recheck: time.Second,
		mem: mem, ro: ro, sp: &within[super](mem, 0, 1)[0],
		clients: within[client](mem, g.offClients, g.clients),
		cpus:    within[atomic.Uint64](mem, g.offCPUs, maxCPUs),
		shards:  within[shard](mem, g.offShards, shards),
		index:   within[bucket](mem, g.offBuckets, g.near+g.buckets),
		hints:   within[atomic.Uint64](mem, g.offHints, classes*g.hintWords),
		grans:   within[atomic.Uint64](mem, g.offGrans, g.granules),
		blocks:  within[atomic.Uint64](mem, g.offBlocks, g.granules*perGranule),
		entries: within[entry](mem, g.offEntries, g.entries),
		fars:    within[far](mem, g.offFars, g.entries),
		kepts:   within[atomic.Uint64](mem, g.offKepts, min(g.clients, nearClients)*g.entries),
		done:    make(chan struct{}),
	}
	a.trimUnit = hugePage / Granule
	a.looked = newLooked(a.granules)
	a.become(0)
	force := strings.Contains(os.Getenv("KADRE_CHECK"), "seal")
	a.guard.open(g.granules, backing.Kind == shm.KindHuge || force, force)
	return a, nil
}

// become makes this view that of a client.
func (a *Arena) become(client int) {
	a.client, a.nearBit = client, nearBit(client)
	if client < nearClients {
		a.kept = a.kepts[client*len(a.entries) : (client+1)*len(a.entries)]
	} else {
		a.kept, a.local = nil, make([]atomic.Uint32, len(a.entries))
	}
}

// commitKept gives a client's kept words their pages.
func commitKept(fd int, g *geometry, client int) error {
	if client >= nearClients {
		return nil
	}
	return shm.Commit(fd, g.offKepts+int64(client)*g.entries*8, g.entries*8)
}

// FDs are the descriptors to pass to a process that is to [Open] the arena. They stay the arena's.
func (a *Arena) FDs() []int { return []int{a.fd} }

// Backing says what holds the arena's bytes. Only the node knows why other kinds were refused.
func (a *Arena) Backing() shm.Backing { return a.backing }

// Client is the slot of this process; the node's is 0.
func (a *Arena) Client() int { return a.client }

// Protects says whether [Writer.Seal] takes from the writer what it lent.
func (a *Arena) Protects() bool { return a.guard.on }

// LeastForced is how large an object has to be to be protected where all that are lent must be; else 0.
func (a *Arena) LeastForced() int64 {
	if a.guard.force {
		return Granule/2 + 1
	}
	return 0
}

// Size is the number of data bytes.
func (a *Arena) Size() int64 { return a.granules * Granule }

// Close ends this process's use of the arena; calls in [Arena.Wait] return ErrClosed first. What the process
// still holds stays held until the node reaps it. The address range stays reserved for the life of the
// process: a view that someone kept faults, and a late Release, or a call that was in the middle, does
// nothing. Close is idempotent.
func (a *Arena) Close() error {
	if !a.closed.CompareAndSwap(false, true) {
		return nil
	}
	close(a.done)
	shm.Bell(a.Doorbell(a.client)) // the process's loop is to see it soon
	a.wait.drain()
	a.mu.Lock() // whoever commits pages or gives them back has fd open
	defer a.mu.Unlock()
	err := shm.Revoke(a.ro)
	if e := shm.Revoke(a.mem[a.offData:]); err == nil {
		err = e
	}
	if e := shm.Blank(a.mem[:a.offData]); err == nil {
		err = e
	}
	if e := shm.CloseFD(a.fd); err == nil {
		err = e
	}
	return err
}
