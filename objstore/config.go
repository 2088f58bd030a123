package objstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/spill"
	"github.com/kadrehq/kadre/p2p/directory"
)

// Net brings bytes from other nodes; *p2p.Host is one. One that has a method Near(id.Node) bool says by it which
// nodes are of the same machine: what a kernel copies from them has no checksum, unless it was spilled.
type Net interface {
	// Fetch sends a request to a node's Serve and reads the data of the answer into what land returns for
	// it. After it returned it writes there no more.
	Fetch(ctx context.Context, from id.Node, req []byte, land func(meta []byte, n int) ([]byte, error)) (meta []byte, n int, err error)
}

// Directory keeps records on other nodes; *p2p.Directory is one.
type Directory interface {
	Put(ctx context.Context, rs []directory.Record) error
	Find(ctx context.Context, key directory.Key, sub [20]byte) ([]directory.Record, error)
	Delete(ctx context.Context, rs []directory.Record) error
}

// Config says what a Store works with.
type Config struct {
	// Arena is this node's. No default.
	Arena *arena.Arena
	// Node is this node. No default.
	Node id.Node
	// Epoch is this node's; records carry it. Default 0.
	Epoch uint64
	// Net reaches other nodes. Default nil: a private node, every pull fails.
	Net Net
	// Directory keeps the records. Default nil: none are kept, and Locate finds nothing.
	Directory Directory
	// Copied tells an owner of a new copy here. It must not block. Default: nobody is told.
	Copied func(owner id.Addr, c wire.Copied)
	// Spill takes objects that the arena has no room for; the Store closes it. Default nil: none are spilled.
	Spill *spill.Dir
	// Collect has processes look for references that they forgot, before anything is spilled. Default: it is
	// not done. False: they did so a moment ago.
	Collect func(ctx context.Context) bool
	// Reclaim takes memory back from processes that cannot let go of it, before room is refused. False: there
	// are none. Default: nothing is taken back.
	Reclaim func(ctx context.Context) bool
	// Drop asks the owner of a copy that was pulled whether it may go; nil means that it no longer counts, an
	// error that it stays. Default: it stays.
	Drop func(ctx context.Context, owner id.Addr, c wire.Copied) error
	// Dropped tells an owner that a copy is here no more. It must not block. Default: nobody is told.
	Dropped func(owner id.Addr, c wire.Copied)
	// Event is told what happens to objects. It must not block. Default: nobody is told.
	Event func(Event)
	// Logger gets what could not be written: records, spilled objects. Default slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Copied == nil {
		c.Copied = func(id.Addr, wire.Copied) {}
	}
	if c.Collect == nil {
		c.Collect = func(context.Context) bool { return false }
	}
	if c.Reclaim == nil {
		c.Reclaim = func(context.Context) bool { return false }
	}
	if c.Drop == nil {
		c.Drop = func(context.Context, id.Addr, wire.Copied) error { return ErrLastCopy }
	}
	if c.Dropped == nil {
		c.Dropped = func(id.Addr, wire.Copied) {}
	}
	if c.Event == nil {
		c.Event = func(Event) {}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Event is one thing that happened to an object.
type Event struct {
	Kind   string // "pull", "pulled", "pull-failed", "holder-dropped", "evicted", "spilled", "unloaded", "restored", "spill-failed", "spill-lost", "files-dropped", "compacted"
	Object id.Object
	Peer   id.Node // of holder-dropped
	N      int64   // bytes
	Text   string  // why it failed
}

// Errors of a Store. They are wrapped with the object.
var (
	// ErrNoHolder says that no holder is left to pull from.
	ErrNoHolder = errors.New("objstore: no node could give a copy")
	// ErrCorrupt says that what the holders gave is not what the owner sealed.
	ErrCorrupt = errors.New("objstore: the bytes are not those of the object")
	// ErrNotFound says that the directory has no record of the object.
	ErrNotFound = errors.New("objstore: no record of a copy")
	// ErrLastCopy says that an owner knows no other copy.
	ErrLastCopy = errors.New("objstore: it is the last copy")
	// ErrNoRoom says that nothing more could be moved out of the arena.
	ErrNoRoom = errors.New("objstore: no room")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("objstore: closed")
	// ErrFreed says that the object's job ended during the pull.
	ErrFreed = errors.New("objstore: the object's job has ended")
	// ErrBusy says that too many pulls wait already.
	ErrBusy = fmt.Errorf("objstore: more than %d pulls wait", maxPulls)
)
