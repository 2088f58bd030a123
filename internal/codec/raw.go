package codec

import (
	"reflect"
	"unsafe"
)

// slice is how a slice lies in memory.
type slice struct {
	data     unsafe.Pointer
	len, cap int
}

// bytes is the memory of the elements, each of which has size bytes.
func (s *slice) bytes(size uintptr) []byte {
	return unsafe.Slice((*byte)(s.data), uintptr(s.len)*size)
}

func (c *coder) fillRaw(bools bool) {
	c.raw, c.plain, c.bools, c.least = true, true, bools, int(c.t.Size())
	n := c.t.Size()
	c.enc = func(e *Encoder, v unsafe.Pointer) *Error {
		e.buf = append(e.buf, unsafe.Slice((*byte)(v), n)...)
		return nil
	}
	c.dec = func(d *Decoder, v unsafe.Pointer) *Error {
		b, er := d.take(uint64(n))
		if er != nil {
			return er
		}
		return c.setRaw(v, b)
	}
}

// setRaw fills a raw value from b, which has its size.
func (c *coder) setRaw(v unsafe.Pointer, b []byte) *Error {
	if c.bools {
		if er := checkBools(b); er != nil {
			return er
		}
	}
	copy(unsafe.Slice((*byte)(v), len(b)), b)
	return nil
}

// checkBools keeps bytes out of bools that the compiler takes for impossible.
func checkBools(b []byte) *Error {
	for _, x := range b {
		if x > 1 {
			return damaged("has a bool of %d", x)
		}
	}
	return nil
}

// setSlice makes the slice at v from the memory of its raw elements, whose size is not 0.
func (c *coder) setSlice(v unsafe.Pointer, b []byte, null bool) *Error {
	if null {
		*(*slice)(v) = slice{}
		return nil
	}
	if c.elem.bools {
		if er := checkBools(b); er != nil {
			return er
		}
	}
	size := int(c.elem.t.Size())
	if size == 1 {
		own := make([]byte, len(b))
		copy(own, b)
		*(*[]byte)(v) = own
		return nil
	}
	n := len(b) / size
	s := reflect.MakeSlice(c.t, n, n)
	copy(unsafe.Slice((*byte)(s.UnsafePointer()), len(b)), b)
	reflect.NewAt(c.t, v).Elem().Set(s)
	return nil
}

func (c *coder) fillText() {
	c.plain, c.text = true, true
	c.enc = func(e *Encoder, v unsafe.Pointer) *Error {
		e.Text(*(*string)(v))
		return nil
	}
	c.dec = func(d *Decoder, v unsafe.Pointer) *Error {
		b, er := d.bytes()
		*(*string)(v) = string(b)
		return er
	}
}
