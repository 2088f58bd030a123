package codec

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"reflect"
	"slices"
	"unsafe"
)

func (b *builder) mapping(c *coder) *Error {
	k, er := b.kid(c, c.t.Key(), "[key]")
	if er != nil {
		return er
	}
	v, er := b.kid(c, c.t.Elem(), "[value]")
	if er != nil {
		return er
	}
	c.enc = func(e *Encoder, p unsafe.Pointer) *Error {
		return encodeMap(e, reflect.NewAt(c.t, p).Elem(), k, v)
	}
	c.dec = func(d *Decoder, p unsafe.Pointer) *Error { return decodeMap(d, c.t, k, v, p) }
	return nil
}

// element is where one of a map lies in the encoder's buffer, relative to that of the first.
type element struct {
	head           uint64 // the first bytes of the key
	from, key, end int    // the key ends at key, the value at end
}

// encodeMap writes the elements in the order of their keys' encodings, so that equal maps give equal bytes: in
// the order of the map first, then sorted where they lie.
func encodeMap(e *Encoder, m reflect.Value, kc, vc *coder) *Error {
	n := m.Len()
	e.count(n, !m.IsNil())
	if n == 0 {
		return nil
	}
	if er := e.enter(); er != nil {
		return er
	}
	refs, keep, base, outer := len(e.refs), len(e.keep), len(e.buf), len(e.elements)
	k, v := reflect.New(kc.t).Elem(), reflect.New(vc.t).Elem()
	for it := m.MapRange(); it.Next(); {
		k.SetIterKey(it)
		v.SetIterValue(it)
		x := element{from: len(e.buf) - base}
		if er := kc.enc(e, k.Addr().UnsafePointer()); er != nil {
			return er.in("[key]")
		}
		x.key = len(e.buf) - base
		if er := vc.enc(e, v.Addr().UnsafePointer()); er != nil {
			return er.in("[value]")
		}
		x.end = len(e.buf) - base
		e.elements = append(e.elements, x)
	}
	e.sortElements(e.elements[outer:], e.buf[base:])
	e.elements = e.elements[:outer]
	if len(e.refs) > refs && n > 1 { // they were numbered in the order of the map
		e.forget(refs, keep)
		e.buf = e.buf[:base]
		if er := encodeSorted(e, m, kc, vc); er != nil {
			return er
		}
	}
	e.depth--
	return nil
}

// sortElements orders elements that make up the whole of buf.
func (e *Encoder) sortElements(elements []element, buf []byte) {
	for i := range elements {
		x := &elements[i]
		var head [8]byte
		copy(head[:], buf[x.from:x.key])
		x.head = binary.BigEndian.Uint64(head[:])
	}
	order := func(a, b element) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return bytes.Compare(buf[a.from:a.key], buf[b.from:b.key])
	}
	if slices.IsSortedFunc(elements, order) {
		return
	}
	slices.SortFunc(elements, order)
	e.spare = append(e.spare[:0], buf...)
	at := buf[:0]
	for _, x := range elements {
		at = append(at, e.spare[x.from:x.end]...)
	}
}

// forget takes back the references after the first n, and what is kept after the first keep.
func (e *Encoder) forget(n, keep int) {
	for i := range e.refs[n:] {
		delete(e.index, refKey{e.refs[n+i].ID, e.refs[n+i].Attempt})
	}
	e.refs, e.keep = e.refs[:n], e.keep[:keep]
}

// encodeSorted is encodeMap's work for elements that hold references: it orders the keys first.
func encodeSorted(e *Encoder, m reflect.Value, kc, vc *coder) *Error {
	type key struct {
		buf   []byte
		value reflect.Value
	}
	keys := make([]key, 0, m.Len())
	k, v := reflect.New(kc.t).Elem(), reflect.New(vc.t).Elem()
	for it := m.MapRange(); it.Next(); {
		k.SetIterKey(it)
		base := len(e.buf)
		if er := kc.enc(e, k.Addr().UnsafePointer()); er != nil {
			return er.in("[key]")
		}
		keys = append(keys, key{bytes.Clone(e.buf[base:]), it.Value()})
		e.buf = e.buf[:base]
	}
	slices.SortFunc(keys, func(a, b key) int { return bytes.Compare(a.buf, b.buf) })
	for _, x := range keys {
		e.buf = append(e.buf, x.buf...)
		v.Set(x.value)
		if er := vc.enc(e, v.Addr().UnsafePointer()); er != nil {
			return er.in("[value]")
		}
	}
	return nil
}

func decodeMap(d *Decoder, t reflect.Type, kc, vc *coder, p unsafe.Pointer) *Error {
	m := reflect.NewAt(t, p).Elem()
	m.SetZero()
	n, ok, er := d.count(kc.least + vc.least)
	if er != nil || !ok {
		return er
	}
	if kc.t.Size() == 0 && n > 1 { // all keys are the same, and elements may take no bytes
		return damaged("has %d equal keys", n)
	}
	if er := d.enter(); er != nil {
		return er
	}
	m.Set(reflect.MakeMapWithSize(t, min(n, d.budget()/int(kc.t.Size()+vc.t.Size()+1))))
	k, v := reflect.New(kc.t).Elem(), reflect.New(vc.t).Elem()
	for range n {
		if er := kc.dec(d, k.Addr().UnsafePointer()); er != nil {
			return er.in("[key]")
		}
		if !k.Comparable() { // an interface may hold anything
			return damaged("holds a value that cannot be a key").in("[key]")
		}
		if er := vc.dec(d, v.Addr().UnsafePointer()); er != nil {
			return er.in("[value]")
		}
		m.SetMapIndex(k, v)
	}
	d.depth--
	return nil
}
