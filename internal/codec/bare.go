package codec

import "unsafe"

// A bare value is its payload alone, for receivers that run the same program and know the type. Only values that
// are one piece of memory have one.

// HasBare says whether values may have a bare form.
func (p *Plan) HasBare() bool { return p.form == formRaw || p.form == formText || p.form == formSlice }

// maxRaw bounds what Raw takes for small.
const maxRaw = 256

// Raw says that a value is a few bytes without any pointer.
func (p *Plan) Raw() bool { return p.form == formRaw && p.typ.Size() <= maxRaw }

// AppendBare appends the bare value at v to dst; false where it has none.
func (p *Plan) AppendBare(dst []byte, v unsafe.Pointer) ([]byte, bool) {
	body, flags, ok := p.view(v)
	if !ok || flags != 0 {
		return dst, false
	}
	return append(dst, body...), true
}

// DecodeBare is Decode for a bare value.
func (p *Plan) DecodeBare(data []byte, out unsafe.Pointer) error {
	if !p.HasBare() {
		return damaged("is bare, and its type is not").of(p.typ)
	}
	if er := p.read(nil, nil, &parsed{payload: data}, out); er != nil {
		return er.of(p.typ)
	}
	return nil
}
