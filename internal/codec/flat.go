package codec

import "unsafe"

// Flat says that a value is a slice of raw elements: Copy is all it takes to have one of one's own.
func (p *Plan) Flat() bool { return p.form == formSlice }

// Copy makes the slice at dst, of a Flat type, a copy of the one at src.
func (p *Plan) Copy(dst, src unsafe.Pointer) {
	s := (*slice)(src)
	if s.data == nil {
		*(*slice)(dst) = slice{}
		return
	}
	*(*slice)(dst) = p.root.sliceOf(s.bytes(p.root.elem.t.Size()))
}

// Size is how many bytes the payload of the value at v takes; false where only encoding it tells.
func (p *Plan) Size(v unsafe.Pointer) (int, bool) {
	body, _, ok := p.view(v)
	return len(body), ok
}
