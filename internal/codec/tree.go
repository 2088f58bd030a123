package codec

import (
	"reflect"
	"unsafe"
)

// The memory taken for a slice or map before its first element is read is bounded by firstBytes and growth
// for each byte that is left, shared among the levels of nesting; from there it grows. Honest values fit.
const (
	firstBytes = 64 << 10
	growth     = 32 // an empty string takes one byte, and 16 in memory; a nil slice 24
)

func (d *Decoder) budget() int { return firstBytes + growth*len(d.in)/max(d.depth, 1) }

func (b *builder) slice(c *coder) *Error {
	k, er := b.kid(c, c.t.Elem(), "[]")
	if er != nil {
		return er
	}
	c.elem = k
	size := k.t.Size()
	switch {
	case k.raw && size > 0:
		c.enc = func(e *Encoder, v unsafe.Pointer) *Error {
			s := (*slice)(v)
			e.count(s.len, s.data != nil)
			e.buf = append(e.buf, s.bytes(size)...)
			return nil
		}
		c.dec = func(d *Decoder, v unsafe.Pointer) *Error {
			n, ok, er := d.count(int(size))
			if er != nil {
				return er
			}
			b, _ := d.take(uint64(n) * uint64(size)) // count has looked
			return c.setSlice(v, b, !ok)
		}
	case k.text:
		c.enc, c.dec = encodeTexts, decodeTexts
	case k.raw: // of size 0: the length is all there is
		c.enc = func(e *Encoder, v unsafe.Pointer) *Error {
			s := (*slice)(v)
			e.count(s.len, s.data != nil)
			return nil
		}
		c.dec = func(d *Decoder, v unsafe.Pointer) *Error {
			n, ok, er := d.count(0)
			*(*slice)(v) = slice{}
			if ok {
				reflect.NewAt(c.t, v).Elem().Set(reflect.MakeSlice(c.t, n, n))
			}
			return er
		}
	default:
		c.fillSlice(k, size)
	}
	return nil
}

// fillSlice is for elements that need a coder of their own.

func (c *coder) fillSlice(k *coder, size uintptr) {
	c.enc = func(e *Encoder, v unsafe.Pointer) *Error {
		s := (*slice)(v)
		e.count(s.len, s.data != nil)
		if er := e.enter(); er != nil {
			return er
		}
		for i := range s.len {
			if er := k.enc(e, unsafe.Add(s.data, uintptr(i)*size)); er != nil {
				return er.at(i)
			}
		}
		e.depth--
		return nil
	}
	c.dec = func(d *Decoder, v unsafe.Pointer) *Error {
		n, ok, er := d.count(k.least)
		if er == nil {
			er = d.enter()
		}
		if er != nil {
			return er
		}
		s := reflect.NewAt(c.t, v).Elem()
		s.SetZero()
		if ok {
			s.Set(reflect.MakeSlice(c.t, 0, min(n, d.budget()/max(int(size), 1)+1)))
		}
		for i := range n {
			if i == s.Cap() {
				s.Grow(1)
			}
			s.SetLen(i + 1)
			if er := k.dec(d, unsafe.Add(s.UnsafePointer(), uintptr(i)*size)); er != nil {
				return er.at(i)
			}
		}
		d.depth--
		return nil
	}
}

// count appends the length of a slice or map; ok is false for nil.
func (e *Encoder) count(n int, ok bool) {
	if !ok {
		e.Byte(0)
		return
	}
	e.Uvarint(uint64(n) + 1)
}

// A slice of strings is its lengths, then all bytes, so that reading it takes two pieces of memory.
func encodeTexts(e *Encoder, v unsafe.Pointer) *Error {
	texts := *(*[]string)(v)
	e.count(len(texts), texts != nil)
	for _, s := range texts {
		e.Uvarint(uint64(len(s)))
	}
	for _, s := range texts {
		e.buf = append(e.buf, s...)
	}
	return nil
}

func decodeTexts(d *Decoder, v unsafe.Pointer) *Error {
	*(*[]string)(v) = nil
	n, ok, er := d.count(1)
	if er != nil || !ok {
		return er
	}
	// First the sum, then memory.
	lens := *d
	var sum uint64
	for i := range n {
		x, er := d.uvarint()
		if er != nil {
			return er.at(i)
		}
		if sum += x; x > MaxValue || sum > MaxValue {
			return damaged("has %d bytes up to here", sum).at(i)
		}
	}
	b, er := d.take(sum)
	if er != nil {
		return er
	}
	all, texts := string(b), make([]string, n)
	for i := range texts {
		x, _ := lens.uvarint()
		texts[i], all = all[:x], all[x:]
	}
	*(*[]string)(v) = texts
	return nil
}

func (b *builder) array(c *coder) *Error {
	k, er := b.kid(c, c.t.Elem(), "[]")
	if er != nil {
		return er
	}
	n, size := c.t.Len(), k.t.Size()
	if k.raw || n == 0 {
		c.fillRaw(k.bools)
		return nil
	}
	c.plain = k.plain
	c.least = n * k.least
	c.enc = func(e *Encoder, v unsafe.Pointer) *Error {
		for i := range n {
			if er := k.enc(e, unsafe.Add(v, uintptr(i)*size)); er != nil {
				return er.at(i)
			}
		}
		return nil
	}
	c.dec = func(d *Decoder, v unsafe.Pointer) *Error {
		for i := range n {
			if er := k.dec(d, unsafe.Add(v, uintptr(i)*size)); er != nil {
				return er.at(i)
			}
		}
		return nil
	}
	return nil
}

func (b *builder) pointer(c *coder) *Error {
	k, er := b.coder(c.t.Elem())
	if er != nil {
		return er
	}
	c.kids = []*coder{k}
	c.enc = func(e *Encoder, v unsafe.Pointer) *Error {
		to := *(*unsafe.Pointer)(v)
		if to == nil {
			e.Byte(0)
			return nil
		}
		e.Byte(1)
		er := e.enter()
		if er == nil {
			er = k.enc(e, to)
		}
		e.depth--
		return er
	}
	c.dec = func(d *Decoder, v unsafe.Pointer) *Error {
		*(*unsafe.Pointer)(v) = nil
		ok, er := d.flag()
		if er != nil || !ok {
			return er
		}
		if er := d.enter(); er != nil {
			return er
		}
		to := reflect.New(k.t).UnsafePointer()
		*(*unsafe.Pointer)(v) = to
		er = k.dec(d, to)
		d.depth--
		return er
	}
	return nil
}
