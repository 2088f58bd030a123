package arena

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

const (
	// Granule is the unit of large objects; smaller ones share a granule cut into blocks.
	Granule = 64 << 10
	// Align is the least alignment of an object's bytes.
	Align = 64

	minBlock   = 1 << 10
	perGranule = Granule / minBlock
	classes    = 6 // blocks of 1, 2, 4, 8, 16 and 32 KiB

	maxEntries  = 1_000_000 // keeps entry+1 inside 20 bits
	maxGranules = 1 << 30   // 64 TiB
	maxClients  = 256
	farWords    = (maxClients - nearClients + 31) / 32
	maxCPUs     = 1024
	shards      = 4096
	shardWords  = maxClients / 64
	bucketSlots = 7
	nearBuckets = 2048 // 128 KiB: small beside a core's cache, and enough for some thousands of objects

	pageSize = 4096
	hugePage = 2 << 20

	magic   = 0x4b61647265417231
	version = 9
)

// super is the superblock. The first group is written once, before anyone else maps the arena.
type super struct {
	magic, version, entries, granules, clients, kind, sum uint64
	_                                                     uint64

	entHigh    atomic.Uint64 // entries below were in use at some time; never falls
	clientHigh atomic.Uint64 // the same for clients
	committed  atomic.Uint64 // granules below have their pages; never falls
	cpus       atomic.Uint64 // CPU words in use
	cpuWait    atomic.Uint64 // clients that want a CPU in the low half, a version above
	holes      atomic.Uint64 // at least the number of granules that are holes
	trims      atomic.Uint64 // how many units of granules were given back; numbers them
	low        atomic.Uint64 // about where the lowest granule is that is nobody's: a hint

	clock   atomic.Uint64 // Unix time in milliseconds at the latest Poke of any process
	waiting shard         // a bit for each client that waits for any object
	files   atomic.Uint64 // 1: what is here may be in a file too; by the node
	_       [16]byte
}

// client is the shared part of one client, in lines that different sides write.
type client struct {
	epoch   atomic.Uint64 // 0: the slot is free; with pid written by the node
	pid     atomic.Uint64
	wantCPU atomic.Uint32 // by the client
	party   atomic.Uint32 // by the node: clients of one party have one share of the CPUs
	cpuUsed atomic.Uint64 // by the client: see CPUUser.Used
	_       [32]byte

	bell atomic.Uint32 // bumped by all
	_    uint32
	hint atomic.Uint64 // shards (mod 64) in which something was sealed since the last Poke
	_    [48]byte

	stats [8]atomic.Uint64 // by the client
}

// entry is one object. All but main belong to the creator until it seals and do not change afterwards.
type entry struct {
	main atomic.Uint64
	ida  atomic.Uint64
	idb  atomic.Uint64
	idc  atomic.Uint64 // the ID's first 4 bytes, and above them the attempt
	job  atomic.Uint64
	off  atomic.Uint64 // where in data; written before a block is claimed there
	size atomic.Uint64 // written before off
	used atomic.Uint64 // the clock when a holder bit was last taken
}

// set writes a word of an entry that is CREATING and ours. A plain store will do: others heed the word only
// after a CAS of ours that follows, and those that still read it for the generation before look at main again.
func set(w *atomic.Uint64, v uint64) { *(*uint64)(unsafe.Pointer(w)) = v }

// far is an entry's further holder words, 32 clients in each. It is a line.
type far struct{ w [farWords]atomic.Uint64 }

// bucket is one line of the index. A slot is (entry+1, fingerprint, generation) or 0.
type bucket struct {
	slot [bucketSlots]atomic.Uint64
	past atomic.Uint64 // at least the number of slots of this bucket's keys, or passing by, further on
}

// shard has a bit for each client that waits for an object which hashes to it.
type shard [shardWords]atomic.Uint64

func (s *shard) set(client int)   { s[client/64].Or(1 << (client % 64)) }
func (s *shard) clear(client int) { s[client/64].And(^(uint64(1) << (client % 64))) }
func (s *shard) empty() bool      { return s[0].Load()|s[1].Load()|s[2].Load()|s[3].Load() == 0 }

// geometry is where everything is; it follows from three numbers.
type geometry struct {
	entries, granules, clients int64
	near, buckets, hintWords   int64 // powers of two: buckets that are tried first, and the others

	offClients, offCPUs, offShards, offBuckets, offHints, offGrans int64
	offEntries, offFars, offKepts, offBlocks, offData, size        int64
}

// place fills in what follows from entries, granules and clients. Up to offEntries all is committed at once,
// entries and further holder words as the high-water mark rises, a client's kept words when it is admitted, block
// words and data with the granules.
func (g *geometry) place() {
	g.buckets = 1
	for g.buckets < (g.entries+3)/4 {
		g.buckets *= 2
	}
	g.near = min(nearBuckets, g.buckets)
	g.hintWords = (g.granules + 63) / 64
	at := int64(0)
	put := func(n int64) (off int64) {
		off = at
		at = (at + n + pageSize - 1) &^ (pageSize - 1)
		return off
	}
	put(int64(unsafe.Sizeof(super{})))
	g.offClients = put(g.clients * int64(unsafe.Sizeof(client{})))
	g.offCPUs = put(maxCPUs * 8)
	g.offShards = put(shards * int64(unsafe.Sizeof(shard{})))
	g.offBuckets = put((g.near + g.buckets) * int64(unsafe.Sizeof(bucket{})))
	g.offHints = put(classes * g.hintWords * 8)
	g.offGrans = put(g.granules * 8)
	g.offEntries = put(g.entries * int64(unsafe.Sizeof(entry{})))
	g.offFars = put(g.entries * int64(unsafe.Sizeof(far{})))
	g.offKepts = put(min(g.clients, nearClients) * g.entries * 8)
	g.offBlocks = put(g.granules * perGranule * 8)
	at = (at + hugePage - 1) &^ (hugePage - 1)
	g.offData = put(g.granules * Granule)
	g.size = (at + hugePage - 1) &^ (hugePage - 1)
}

// check refuses numbers that no arena has.
func (g *geometry) check() error {
	if g.entries < 1 || g.entries > maxEntries || g.granules < 1 || g.granules > maxGranules || g.clients < 1 || g.clients > maxClients {
		return fmt.Errorf("arena: %d entries, %d granules, %d clients: the limits are %d, %d and %d; ask for less", g.entries, g.granules, g.clients, maxEntries, maxGranules, maxClients)
	}
	return nil
}

// checksum covers the constant part of the superblock and the size of everything it leads to.
func (s *super) checksum(size int64) uint64 {
	h := uint64(14695981039346656037)
	for _, v := range [...]uint64{s.magic, s.version, s.entries, s.granules, s.clients, s.kind, uint64(size)} {
		hi, lo := bits.Mul64(h^v, 0x9e3779b97f4a7c15)
		h = hi ^ lo ^ v
	}
	return h
}

// within lays a slice of n values of type T over the mapping at off.
func within[T any](mem []byte, off, n int64) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[off])), n)
}

// hash spreads IDs over buckets (low bits), fingerprints (high bits) and wait shards (middle bits). IDs are drawn
// by the node's own processes and begin with a random number, so one multiplication does.
func (k key) hash() uint64 {
	hi, lo := bits.Mul64(k.a^0x9e3779b97f4a7c15, k.b^0xd1b54a32d192ed03^uint64(k.c)<<20)
	return hi ^ lo
}

func hash(o ID) uint64        { return keyOf(&o).hash() }
func shardOf(h uint64) uint32 { return uint32(h>>24) % shards }
