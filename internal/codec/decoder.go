package codec

import (
	"encoding/binary"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// Decoder is given to Specials. It must not be kept.
type Decoder struct {
	Context any // what Decode was given

	data  []byte // the whole encoded value
	in    []byte // what is left of the payload
	refs  []Ref
	depth int
}

// Data gives the whole encoded value. A Special may alias it as far as the Context's owner allows.
func (d *Decoder) Data() []byte { return d.data }

// Refs is the number of references in the table of the value.
func (d *Decoder) Refs() int { return len(d.refs) }

// Ref gives reference i of the value.
func (d *Decoder) Ref(i int) (Ref, error) {
	if i < 0 || i >= len(d.refs) {
		return Ref{}, damaged("asks for reference %d of %d", i, len(d.refs))
	}
	r := d.refs[i]
	r.Hints = slices.Clone(r.Hints)
	return r, nil
}

// Byte reads one byte.
func (d *Decoder) Byte() (byte, error) { b, er := d.byte(); return b, plainErr(er) }

// Uvarint reads what Encoder.Uvarint wrote.
func (d *Decoder) Uvarint() (uint64, error) { x, er := d.uvarint(); return x, plainErr(er) }

// Uint64 reads eight bytes.
func (d *Decoder) Uint64() (uint64, error) { x, er := d.uint64(); return x, plainErr(er) }

// Bytes reads what Encoder.Bytes wrote. The result aliases the encoded value.
func (d *Decoder) Bytes() ([]byte, error) { b, er := d.bytes(); return b, plainErr(er) }

// Text reads what Encoder.Text wrote.
func (d *Decoder) Text() (string, error) { b, er := d.bytes(); return string(b), plainErr(er) }

// plainErr keeps a nil *Error from becoming an error.
func plainErr(er *Error) error {
	if er == nil {
		return nil
	}
	return er
}

func (d *Decoder) take(n uint64) ([]byte, *Error) {
	if n > uint64(len(d.in)) {
		return nil, damaged("ends early, with %d of %d bytes", len(d.in), n)
	}
	b := d.in[:n:n]
	d.in = d.in[n:]
	return b, nil
}

func (d *Decoder) byte() (byte, *Error) {
	if len(d.in) == 0 {
		return 0, damaged("ends early, with 0 of 1 bytes")
	}
	b := d.in[0]
	d.in = d.in[1:]
	return b, nil
}

// flag reads a byte that is 0 or 1.
func (d *Decoder) flag() (bool, *Error) {
	b, er := d.byte()
	if er == nil && b > 1 {
		er = damaged("has %d where only 0 or 1 can be", b)
	}
	return b == 1, er
}

func (d *Decoder) uvarint() (uint64, *Error) {
	x, n := binary.Uvarint(d.in)
	if n <= 0 {
		return 0, damaged("has a bad number, %d bytes before the end", len(d.in))
	}
	d.in = d.in[n:]
	return x, nil
}

func (d *Decoder) uint64() (uint64, *Error) {
	b, er := d.take(8)
	if er != nil {
		return 0, er
	}
	return order.Uint64(b), nil
}

func (d *Decoder) bytes() ([]byte, *Error) {
	n, er := d.uvarint()
	if er != nil {
		return nil, er
	}
	return d.take(n)
}

// count reads the length of a slice or map, each element of which takes at least least bytes; ok is false for nil.
func (d *Decoder) count(least int) (n int, ok bool, er *Error) {
	x, er := d.uvarint()
	if er != nil || x == 0 {
		return 0, false, er
	}
	x--
	limit := uint64(MaxValue)
	if least > 0 {
		limit = uint64(len(d.in) / least)
	}
	if x > limit {
		return 0, false, damaged("says %d elements with %d bytes left", x, len(d.in))
	}
	return int(x), true, nil
}

func (d *Decoder) node() (id.Node, *Error) {
	n, er := d.byte()
	if er != nil {
		return "", er
	}
	b, er := d.take(uint64(n))
	return id.Node(b), er
}

// enter goes one level down; the caller goes up again with d.depth--.
func (d *Decoder) enter() *Error {
	if d.depth++; d.depth > MaxDepth {
		return damaged("is nested deeper than %d levels", MaxDepth)
	}
	return nil
}
