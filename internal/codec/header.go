package codec

import (
	"encoding/binary"
	"fmt"

	"github.com/kadrehq/kadre/internal/id"
)

// Limits of one encoded value.
const (
	MaxDepth = 1000    // nested pointers, slices, maps and interfaces: bounds the stack and ends cycles
	MaxRefs  = 1 << 20 // references in one value: bounds the table at about 1 GiB
	MaxHints = 3       // places where a reference's object was last seen
	MaxName  = 255     // bytes of a node's name: its length is one byte
	MaxValue = 1 << 40 // bytes of payload
)

// HeadLen is the length of the head of a value that holds no references.
const HeadLen = 64

// The header, in the byte order of the host:
//
//	0 magic u32 | 4 version u8 | 5 form u8 | 6 flags u16 | 8 type hash u64
//	16 length of the ref table u32 | 20 offset of the payload u32 | 24 length of the payload u64
const (
	headerLen = 32
	alignment = 64
	magic     = 0x4b64_7665 // changes under a swap of bytes
	version   = 1
	flagNil   = 1 // a nil slice, or a top-level type's zero value
	flagRoom  = 2 // of a top-level type: bytes that mean nothing follow the payload
)

type form uint8

const (
	formRaw form = iota + 1
	formText
	formSlice
	formTree
	formTop
)

// Ref is what a reference to an object carries on the wire.
type Ref struct {
	ID      id.Object
	Owner   id.Addr
	Size    uint64
	Hash    uint64
	Attempt uint32
	Hints   []id.Node // at most MaxHints
}

var order = binary.NativeEndian

// appendHead appends header, table and padding.
func appendHead(dst []byte, f form, flags uint16, hash uint64, table []byte, payload int) []byte {
	dst = order.AppendUint32(dst, magic)
	dst = append(dst, version, byte(f))
	dst = order.AppendUint16(dst, flags)
	dst = order.AppendUint64(dst, hash)
	dst = order.AppendUint32(dst, uint32(len(table)))
	dst = order.AppendUint32(dst, uint32(headLen(len(table))))
	dst = order.AppendUint64(dst, uint64(payload))
	dst = append(dst, table...)
	var zeros [alignment]byte
	return append(dst, zeros[:headLen(len(table))-headerLen-len(table)]...)
}

func headLen(table int) int { return (headerLen + table + alignment - 1) &^ (alignment - 1) }

// parsed is an encoded value cut into its parts, which alias it.
type parsed struct {
	form    form
	flags   uint16
	hash    uint64
	table   []byte
	payload []byte
}

func parse(data []byte) (p parsed, er *Error) {
	if len(data) < HeadLen {
		return p, damaged("has %d bytes, fewer than its head", len(data))
	}
	if m := order.Uint32(data); m != magic {
		return p, damaged("starts with %#x instead of %#x", m, uint32(magic))
	}
	if v := data[4]; v != version {
		return p, damaged("has version %d of the format, this program knows %d", v, version)
	}
	p.form, p.flags, p.hash = form(data[5]), order.Uint16(data[6:]), order.Uint64(data[8:])
	table, off, n := uint64(order.Uint32(data[16:])), uint64(order.Uint32(data[20:])), order.Uint64(data[24:])
	room := p.flags&flagRoom != 0 && off+n < uint64(len(data))
	if n > MaxValue || off != (headerLen+table+alignment-1)&^uint64(alignment-1) || off+n != uint64(len(data)) && !room {
		return p, damaged("has %d bytes, its header says %d of table, and %d from %d", len(data), table, n, off)
	}
	p.table, p.payload = data[headerLen:headerLen+table], data[off:off+n:off+n]
	return p, nil
}

// Refs gives the references of an encoded value without knowing its type.
func Refs(data []byte) ([]Ref, error) {
	p, er := parse(data)
	if er != nil {
		return nil, er
	}
	refs, er := parseTable(p.table)
	if er != nil {
		return nil, er
	}
	return refs, nil
}

// HeadRefs is Refs where only the beginning of an encoded value is there. Where that is too short for the references it says
// how many bytes it takes.
func HeadRefs(head []byte) (refs []Ref, need int, err error) {
	if len(head) < headerLen || order.Uint32(head) != magic || head[4] != version {
		return nil, 0, damaged("does not begin with a head")
	}
	end := headerLen + int64(order.Uint32(head[16:]))
	if end > int64(len(head)) {
		return nil, int(end), nil
	}
	refs, er := parseTable(head[headerLen:end])
	if er != nil {
		return nil, 0, er
	}
	return refs, 0, nil
}

// HoldsRefs says whether an encoded value has references, of bytes that this process wrote or has checked.
func HoldsRefs(data []byte) bool { return len(data) >= HeadLen && order.Uint32(data[16:]) != 0 }

// The table is empty without references. Otherwise it is their number u32, and for each its object, size,
// hash, attempt, the owner's process, the owner's node and the hints; a node is a length of one byte and its name.
const minRef = len(id.Object{}) + 8 + 8 + 4 + 8 + 1 + 1

func appendTable(dst []byte, refs []Ref) []byte {
	if len(refs) == 0 {
		return dst
	}
	dst = order.AppendUint32(dst, uint32(len(refs)))
	for i := range refs {
		r := &refs[i]
		dst = append(dst, r.ID[:]...)
		dst = order.AppendUint64(dst, r.Size)
		dst = order.AppendUint64(dst, r.Hash)
		dst = order.AppendUint32(dst, r.Attempt)
		dst = order.AppendUint64(dst, uint64(r.Owner.Proc))
		dst = append(append(dst, byte(len(r.Owner.Node))), r.Owner.Node...)
		dst = append(dst, byte(len(r.Hints)))
		for _, h := range r.Hints {
			dst = append(append(dst, byte(len(h))), h...)
		}
	}
	return dst
}

func parseTable(table []byte) ([]Ref, *Error) {
	if len(table) == 0 {
		return nil, nil
	}
	d := Decoder{in: table}
	b, er := d.take(4)
	if er != nil {
		return nil, er.in("ref table")
	}
	n := order.Uint32(b)
	if n == 0 || n > MaxRefs || int(n) > len(d.in)/minRef {
		return nil, damaged("says %d references in %d bytes", n, len(table)).in("ref table")
	}
	refs := make([]Ref, n)
	for i := range refs {
		if er := refs[i].parse(&d); er != nil {
			return nil, er.at(i).in("ref table")
		}
	}
	if len(d.in) != 0 {
		return nil, damaged("has %d bytes too many", len(d.in)).in("ref table")
	}
	return refs, nil
}

func (r *Ref) parse(d *Decoder) (er *Error) {
	b, er := d.take(uint64(minRef - 2))
	if er != nil {
		return er
	}
	copy(r.ID[:], b)
	b = b[len(r.ID):]
	r.Size, r.Hash, r.Attempt = order.Uint64(b), order.Uint64(b[8:]), order.Uint32(b[16:])
	r.Owner.Proc = id.Proc(order.Uint64(b[20:]))
	if r.Owner.Node, er = d.node(); er != nil {
		return er
	}
	n, er := d.byte()
	if er != nil {
		return er
	}
	if n > MaxHints {
		return damaged("has %d hints, the limit is %d", n, MaxHints)
	}
	for range n {
		h, er := d.node()
		if er != nil {
			return er
		}
		r.Hints = append(r.Hints, h)
	}
	return nil
}

// check looks at what the form, the flags and the type hash promise.
func (p *parsed) check(plan *Plan) *Error {
	if p.hash != plan.hash {
		if t, ok := byHash.Load(p.hash); ok {
			return &Error{Why: fmt.Sprintf("was written as %v; read it as that type", t), reading: true}
		}
		return damaged("was written as a type with structure %016x, its own is %016x", p.hash, plan.hash)
	}
	if p.flags == flagRoom && p.form == formTop && plan.form == formTop {
		return nil
	}
	if p.form != plan.form || p.flags&^flagNil != 0 || p.flags != 0 && (p.form != formSlice && p.form != formTop || len(p.payload) != 0 || len(p.table) != 0) {
		return damaged("has form %d and flags %#x, its type has form %d", p.form, p.flags, plan.form)
	}
	if !plan.hasRef && len(p.table) != 0 {
		return damaged("has references, which its type cannot hold")
	}
	return nil
}
