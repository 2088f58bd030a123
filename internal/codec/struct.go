package codec

import (
	"reflect"
	"unsafe"
)

// part is a field, or a run of raw fields that lie next to each other.
type part struct {
	name   string
	off    uintptr
	raw    uintptr // bytes of a run; 0 for a field
	*coder         // nil for a run
}

func (b *builder) structure(c *coder) *Error {
	var parts []part
	c.plain, c.least = true, 0
	packed, next := true, uintptr(0)
	for i := range c.t.NumField() {
		f := c.t.Field(i)
		if f.Name == "_" {
			continue // no program can read it
		}
		if er := c.visible(&f); er != nil {
			return er.in(f.Name)
		}
		k, er := b.kid(c, f.Type, f.Name)
		if er != nil {
			return er
		}
		c.plain = c.plain && k.plain
		c.least += k.least
		run := k.raw && !k.bools
		packed = packed && run && f.Offset == next
		next = f.Offset + f.Type.Size()
		switch last := len(parts) - 1; {
		case !run:
			parts = append(parts, part{name: f.Name, off: f.Offset, coder: k})
		case f.Type.Size() == 0:
		case last >= 0 && parts[last].raw > 0 && parts[last].off+parts[last].raw == f.Offset:
			parts[last].raw += f.Type.Size()
		default:
			parts = append(parts, part{name: f.Name, off: f.Offset, raw: f.Type.Size()})
		}
	}
	if packed && next == c.t.Size() {
		c.fillRaw(false)
		return nil
	}
	if c.least == 0 && c.t.Size() > 0 { // nothing but blank fields: a byte of them, so that it can be counted
		parts, c.least = []part{{name: "_", raw: 1}}, 1
	}
	c.enc = func(e *Encoder, v unsafe.Pointer) *Error { return encodeParts(e, parts, v) }
	c.dec = func(d *Decoder, v unsafe.Pointer) *Error { return decodeParts(d, parts, v) }
	return nil
}

// visible refuses fields that their package keeps to itself. An embedded struct of an unexported type is no
// such field: what it holds is looked at by itself.
func (c *coder) visible(f *reflect.StructField) *Error {
	if !f.IsExported() && (!f.Anonymous || f.Type.Kind() != reflect.Struct) {
		return refuse("is unexported; export it, or give %v a codec: methods MarshalBinary and UnmarshalBinary, or api.RegisterCodec", c.t)
	}
	if f.Tag.Get("json") == "-" {
		return refuse("is marked `json:\"-\"`; remove the mark, or give %v a codec: methods MarshalBinary and UnmarshalBinary, or api.RegisterCodec", c.t)
	}
	return nil
}

func encodeParts(e *Encoder, parts []part, v unsafe.Pointer) *Error {
	for i := range parts {
		p := &parts[i]
		if p.raw > 0 {
			e.buf = append(e.buf, unsafe.Slice((*byte)(unsafe.Add(v, p.off)), p.raw)...)
		} else if er := p.enc(e, unsafe.Add(v, p.off)); er != nil {
			return er.in(p.name)
		}
	}
	return nil
}

func decodeParts(d *Decoder, parts []part, v unsafe.Pointer) *Error {
	for i := range parts {
		p := &parts[i]
		if p.raw > 0 {
			b, er := d.take(uint64(p.raw))
			if er != nil {
				return er.in(p.name)
			}
			copy(unsafe.Slice((*byte)(unsafe.Add(v, p.off)), p.raw), b)
		} else if er := p.dec(d, unsafe.Add(v, p.off)); er != nil {
			return er.in(p.name)
		}
	}
	return nil
}
