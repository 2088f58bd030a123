package api

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/internal/wire"
)

// Packed arguments follow each other: each is its length times two and its bytes. An odd number says that they
// have a head, as values have elsewhere.

// pack appends the arguments of a call for a process of this node. It leaves to export what holds references or
// is large.
func (f *remote[A, R]) pack(h *proc.Future, b []byte) ([]byte, bool) {
	c := callOf[A, R](&h.Task)
	given := c.args()
	for i := range f.pos {
		if i < len(given) && (given[i].deferred() || len(given[i].keep) > 0) || f.pos[i].plan.HasRefs() {
			return b, false
		}
		if i < len(given) && given[i].data != nil {
			if len(given[i].data) > wire.MaxShortArgs {
				return b, false
			}
			b = binary.AppendUvarint(b, uint64(len(given[i].data))<<1|1)
			b = append(b, given[i].data...)
			continue
		}
		at := len(b)
		b = append(b, 0) // the length, if it is short
		var ok bool
		if b, ok = f.pos[i].pack(&c.a, b); !ok {
			e, err := f.pos[i].encode(nil, &c.a)
			if err != nil || e.Len() > wire.MaxShortArgs {
				return b, false
			}
			b = binary.AppendUvarint(b[:at], uint64(e.Len())<<1|1)
			b = append(append(b, e.Head...), e.Body...)
			continue
		}
		switch n := len(b) - at - 1; {
		case n < 64:
			b[at] = byte(n << 1)
		case n > wire.MaxShortArgs:
			return b, false
		default:
			value := append([]byte{}, b[at+1:]...)
			b = append(binary.AppendUvarint(b[:at], uint64(n)<<1), value...)
		}
	}
	return b, true
}

// callLot is how many calls of small plain values are allocated at once for tasks that come from elsewhere.
const callLot = 32

// unpacker makes calls of packed arguments.
func (f *remote[A, R]) unpacker(p *proc.Process) func([]byte) (*proc.Future, error) {
	plain := f.typ.Plan.Raw()
	for i := range f.pos {
		plain = plain && f.pos[i].plan.Raw()
	}
	var lot []ownCall[A, R]
	return func(b []byte) (*proc.Future, error) {
		if !plain {
			return f.unpack(p, new(ownCall[A, R]), b)
		}
		if len(lot) == 0 {
			lot = make([]ownCall[A, R], callLot)
		}
		c := &lot[0]
		lot = lot[1:]
		return f.unpack(p, c, b)
	}
}

func (f *remote[A, R]) unpack(p *proc.Process, c *ownCall[A, R], b []byte) (*proc.Future, error) {
	c.call.future.head.InitCall(f.fn, &c.extra.Cold)
	for i := range f.pos {
		n, w := binary.Uvarint(b)
		if w <= 0 || n>>1 > uint64(len(b)-w) {
			return nil, fmt.Errorf("kadre: argument %d of %s ends early", i+1, f.fn.Run.Name)
		}
		value := b[w : w+int(n>>1)]
		b = b[w+int(n>>1):]
		var err error
		if n&1 == 0 {
			err = f.pos[i].unpack(&c.call.a, value)
		} else {
			err = f.pos[i].decode(&decoding{p, context.Background(), nil, false}, &c.call.a, value)
		}
		if err != nil {
			return nil, fmt.Errorf("kadre: argument %d of %s: %w", i+1, f.fn.Run.Name, err)
		}
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("kadre: %s has %d bytes of arguments too many", f.fn.Run.Name, len(b))
	}
	return &c.call.future.head, nil
}
