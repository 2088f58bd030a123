// Package directory keeps small records on the nodes closest to their keys.
package directory

import (
	"context"
	"errors"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Key is where records live: the nodes closest to it hold them.
type Key [32]byte

// Record is one location record.
type Record struct {
	Key    Key
	Shard  uint16
	Sub    [20]byte // which object
	Value  []byte   // at most MaxValue bytes
	Epoch  uint64   // the writer's
	Expiry time.Time
	Writer id.Node // filled in by the holders
}

type Stats struct{ Hits, Misses, Held, Requests uint64 }

type Directory struct{}

var errUnfinished = errors.New("directory: not built yet")

func (d *Directory) Put(ctx context.Context, rs []Record) error         { return errUnfinished }
func (d *Directory) Get(ctx context.Context, key Key) ([]Record, error) { return nil, errUnfinished }
func (d *Directory) Find(ctx context.Context, key Key, sub [20]byte) ([]Record, error) {
	return nil, errUnfinished
}
func (d *Directory) Delete(ctx context.Context, rs []Record) error { return errUnfinished }
func (d *Directory) Stats() Stats                                  { return Stats{} }
