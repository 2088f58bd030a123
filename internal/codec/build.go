package codec

import (
	"reflect"
	"unsafe"
)

// coder writes and reads values of one type inside a tree. It may refer to itself, for a recursive type.
type coder struct {
	t     reflect.Type
	raw   bool // the encoding is the memory: no pointers, no padding, no codec
	bools bool // raw, and each byte must be 0 or 1
	plain bool // assignment copies it: see Plan.Immediate
	text  bool // a string
	ref   bool // a Special, or an interface that may hold one
	least int  // bytes that a value takes at least; 0 only for types of size 0
	elem  *coder
	kids  []*coder // all coders that enc and dec call
	enc   func(e *Encoder, v unsafe.Pointer) *Error
	dec   func(d *Decoder, v unsafe.Pointer) *Error
}

// coders holds every finished coder; guarded by mu.
var coders = map[reflect.Type]*coder{}

// builder makes the coders of one type, under mu. They join coders only when all of them are good.
type builder struct {
	made map[reflect.Type]*coder
	// lenient leaves out the check that interfaces have registered types, while types are being registered:
	// two types may hold each other behind interfaces.
	lenient bool
}

func (b *builder) coder(t reflect.Type) (*coder, *Error) {
	if c, ok := coders[t]; ok {
		return c, nil
	}
	if c, ok := b.made[t]; ok {
		return c, nil
	}
	c := &coder{t: t, least: 1}
	b.made[t] = c
	return c, b.fill(c)
}

func (b *builder) fill(c *coder) *Error {
	if c.custom() {
		return nil
	}
	switch k := c.t.Kind(); k {
	case reflect.Bool:
		c.fillRaw(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		c.fillRaw(false)
	case reflect.String:
		c.fillText()
	case reflect.Slice:
		return b.slice(c)
	case reflect.Array:
		return b.array(c)
	case reflect.Pointer:
		return b.pointer(c)
	case reflect.Map:
		return b.mapping(c)
	case reflect.Struct:
		return b.structure(c)
	case reflect.Interface:
		return b.iface(c)
	case reflect.Chan:
		return refuse("is a channel; return values, or use a stream or an actor")
	case reflect.Func:
		return refuse("is a function; register it as a remote function and pass what it needs")
	default: // Uintptr, UnsafePointer
		return refuse("is an address (%v), which means nothing in another process; pass what it points to", c.t)
	}
	return nil
}

// kid makes the coder of a part of c.
func (b *builder) kid(c *coder, t reflect.Type, step string) (*coder, *Error) {
	k, er := b.coder(t)
	if er != nil {
		return nil, er.in(step)
	}
	c.kids = append(c.kids, k)
	return k, nil
}

func (c *coder) hasRef(seen map[*coder]bool) bool {
	if c.ref {
		return true
	}
	if seen[c] {
		return false
	}
	seen[c] = true
	for _, k := range c.kids {
		if k.hasRef(seen) {
			return true
		}
	}
	return false
}
