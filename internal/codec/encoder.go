package codec

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/kadrehq/kadre/internal/id"
)

// Encoder is given to Specials. It must not be kept.
type Encoder struct {
	Context any // what Encode was given

	buf   []byte
	depth int
	refs  []Ref
	index map[refKey]int
	keep  []any

	elements []element // of the maps that are being written, the outermost first
	spare    []byte    // a map's elements while they are sorted
}

type refKey struct {
	object  id.Object
	attempt uint32
}

// maxPooled is the largest buffer kept for the next value. Larger ones are given away uncopied.
const (
	maxPooled   = 64 << 10
	maxElements = maxPooled / 32
)

var encoders = sync.Pool{New: func() any { return new(Encoder) }}

// free gives e back. The slices of refs and keep belong to the caller by now.
func (e *Encoder) free() {
	*e = Encoder{buf: e.buf[:0], elements: e.elements[:0], spare: e.spare[:0]}
	if cap(e.buf) > maxPooled {
		e.buf = nil
	}
	if cap(e.spare) > maxPooled || cap(e.elements) > maxElements {
		e.spare, e.elements = nil, nil
	}
	encoders.Put(e)
}

// Byte appends one byte.
func (e *Encoder) Byte(b byte) { e.buf = append(e.buf, b) }

// Uvarint appends x in as few bytes as it needs.
func (e *Encoder) Uvarint(x uint64) { e.buf = binary.AppendUvarint(e.buf, x) }

// Uint64 appends x in eight bytes.
func (e *Encoder) Uint64(x uint64) { e.buf = order.AppendUint64(e.buf, x) }

// Bytes appends b with its length.
func (e *Encoder) Bytes(b []byte) {
	e.Uvarint(uint64(len(b)))
	e.buf = append(e.buf, b...)
}

// Text appends s with its length.
func (e *Encoder) Text(s string) {
	e.Uvarint(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

// AddRef puts r into the value's table of references, once for each object and attempt, and gives its index.
func (e *Encoder) AddRef(r Ref) (int, error) {
	k := refKey{r.ID, r.Attempt}
	if i, ok := e.index[k]; ok {
		return i, nil
	}
	if len(e.refs) >= MaxRefs {
		return 0, refuse("holds more than %d references; put parts of it into objects of their own", MaxRefs)
	}
	if len(r.Hints) > MaxHints {
		return 0, refuse("has a reference with %d hints, the limit is %d", len(r.Hints), MaxHints)
	}
	for _, n := range append([]id.Node{r.Owner.Node}, r.Hints...) {
		if len(n) > MaxName {
			return 0, refuse("has a reference to a node with a name of %d bytes, the limit is %d", len(n), MaxName)
		}
	}
	if e.index == nil {
		e.index = make(map[refKey]int)
	}
	i := len(e.refs)
	r.Hints = slices.Clone(r.Hints)
	e.refs, e.index[k] = append(e.refs, r), i
	return i, nil
}

// Keep keeps x alive as long as the Encoded.
func (e *Encoder) Keep(x any) { e.keep = append(e.keep, x) }

// enter goes one level down; the caller goes up again with e.depth--.
func (e *Encoder) enter() *Error {
	if e.depth++; e.depth > MaxDepth {
		return refuse("is nested deeper than %d levels; break the cycle, or keep long chains in a slice", MaxDepth)
	}
	return nil
}
