package codec

import "unsafe"

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
	*(*slice)(v) = c.sliceOf(b)
	return nil
}

// sliceOf gives a slice of a copy of the memory of its raw elements.
func (c *coder) sliceOf(b []byte) slice {
	size := int(c.elem.t.Size())
	out := slice{len: len(b) / size, cap: len(b) / size}
	switch {
	case size%8 == 0:
		out.data = clone[uint64](b)
	case size%4 == 0:
		out.data = clone[uint32](b)
	case size%2 == 0:
		out.data = clone[uint16](b)
	default:
		out.data = clone[byte](b)
	}
	return out
}

// clone copies b into memory for words W, and so aligned for every raw type whose size is a multiple of W's: the
// alignment of a type divides its size. It is never nil. Unlike reflect.MakeSlice it need not clear the memory first.
func clone[W byte | uint16 | uint32 | uint64](b []byte) unsafe.Pointer {
	if len(b) == 0 { // b may point behind its memory
		return unsafe.Pointer(new([0]W))
	}
	var w W
	words := unsafe.Slice((*W)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(w)))
	own := make([]W, len(words))
	copy(own, words)
	return unsafe.Pointer(unsafe.SliceData(own))
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
