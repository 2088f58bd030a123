package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/kadrehq/kadre/internal/id"
)

// Errors of decoding. They are wrapped with what was being read.
var (
	ErrShort   = errors.New("wire: message ends early")
	ErrLimit   = errors.New("wire: a length is over its limit")
	ErrVersion = errors.New("wire: unknown version")
)

// Limits of what one message may hold.
const (
	MaxBody   = 1<<20 - 4096 // one frame's body, so that the frame fits a lane; what is larger goes through the arena
	MaxString = 4096         // names, addresses
	MaxList   = 1 << 16      // elements of a list in a message
	MaxInline = 100 << 10    // a value inside a message; larger ones are sealed in the arena
)

// appender builds a body.
type appender struct{ b []byte }

func (a *appender) u8(v uint8)     { a.b = append(a.b, v) }
func (a *appender) u32(v uint32)   { a.b = binary.LittleEndian.AppendUint32(a.b, v) }
func (a *appender) u64(v uint64)   { a.b = binary.LittleEndian.AppendUint64(a.b, v) }
func (a *appender) uv(v uint64)    { a.b = binary.AppendUvarint(a.b, v) }
func (a *appender) f64(v float64)  { a.u64(math.Float64bits(v)) }
func (a *appender) raw(v []byte)   { a.b = append(a.b, v...) }
func (a *appender) bytes(v []byte) { a.uv(uint64(len(v))); a.raw(v) }
func (a *appender) str(v string)   { a.uv(uint64(len(v))); a.b = append(a.b, v...) }
func (a *appender) addr(v id.Addr) { a.str(string(v.Node)); a.u64(uint64(v.Proc)) }
func (a *appender) bool(v bool)    { a.u8(b2u(v)) }

func b2u(v bool) uint8 {
	if v {
		return 1
	}
	return 0
}

// reader takes a body apart; after the first error it gives zero values.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) take(n int) []byte {
	if n < 0 || len(r.b) < n {
		r.fail(ErrShort)
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (r *reader) f64() float64 { return math.Float64frombits(r.u64()) }
func (r *reader) bool() bool   { return r.u8() != 0 }

func (r *reader) uv() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := r.b[0]
		r.b = r.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(ErrShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of elements of at least size bytes each.
func (r *reader) count(limit, size int) int {
	n := r.uv()
	if n > uint64(limit) {
		r.fail(fmt.Errorf("%w: %d elements, at most %d", ErrLimit, n, limit))
		return 0
	}
	if n*uint64(size) > uint64(len(r.b)) {
		r.fail(ErrShort)
		return 0
	}
	return int(n)
}

// bytes gives a part of the message itself, not a copy.
func (r *reader) bytes(limit int) []byte {
	n := r.uv()
	if n > uint64(limit) {
		r.fail(fmt.Errorf("%w: %d bytes, at most %d", ErrLimit, n, limit))
		return nil
	}
	return r.take(int(n))
}

func (r *reader) str() string { return string(r.bytes(MaxString)) }

func (r *reader) addr() id.Addr {
	n := id.Node(r.str())
	return id.Addr{Node: n, Proc: id.Proc(r.u64())}
}

func (r *reader) task() (t id.Task)     { copy(t[:], r.take(len(t))); return t }
func (r *reader) job() (j id.Job)       { copy(j[:], r.take(len(j))); return j }
func (r *reader) object() (o id.Object) { copy(o[:], r.take(len(o))); return o }

// end says whether the whole message was read without an error.
func (r *reader) end(what string) error {
	if r.err == nil && len(r.b) != 0 {
		r.err = fmt.Errorf("wire: %d bytes too many", len(r.b))
	}
	if r.err != nil {
		return fmt.Errorf("wire: %s: %w", what, r.err)
	}
	return nil
}
