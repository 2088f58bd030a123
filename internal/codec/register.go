package codec

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

var (
	codecs  = map[reflect.Type]codecFuncs{} // guarded by mu
	numbers sync.Map                        // registered reflect.Type to its number, a uint64; written under mu
	types   sync.Map                        // the reverse
)

// RegisterType lets values of T travel in interfaces. T and *T are different types.
func RegisterType[T any]() error { return RegisterTypeFor(reflect.TypeFor[T]()) }

// RegisterTypeFor lets values of type t travel in interfaces.
func RegisterTypeFor(t reflect.Type) error {
	if t == nil || t.Kind() == reflect.Interface {
		return refuse("is an interface; register the types that it will hold").of(t)
	}
	mu.Lock()
	defer mu.Unlock()
	if _, ok := numbers.Load(t); ok {
		return nil
	}
	b := builder{made: map[reflect.Type]*coder{}, lenient: true}
	if _, er := b.coder(t); er != nil {
		return er.of(t)
	}
	n := xxhash.Sum64String(fullName(t) + " " + signature(t))
	if other, ok := types.Load(n); ok {
		return refuse("has the same name and structure as another registered %v; rename one", other).of(t)
	}
	types.Store(n, t)
	numbers.Store(t, n)
	return nil
}

// RegisterCodec makes enc and dec the encoding of T. It must come before the first plan and
// the first registration of a type that holds T.
// The functions may be called concurrently; dec may keep the bytes.
func RegisterCodec[T any](enc func(T) ([]byte, error), dec func([]byte) (T, error)) error {
	t := reflect.TypeFor[T]()
	mu.Lock()
	defer mu.Unlock()
	if promises(t, specialType) {
		return refuse("is a reference of the runtime and keeps its own codec").of(t)
	}
	if _, ok := codecs[t]; ok {
		return refuse("has a codec already; register one").of(t)
	}
	if _, ok := coders[t]; ok {
		return refuse("is in use without the codec; register codecs before functions and values").of(t)
	}
	codecs[t] = codecFuncs{
		enc: func(v unsafe.Pointer) ([]byte, error) { return enc(*(*T)(v)) },
		dec: func(b []byte, v unsafe.Pointer) (err error) { *(*T)(v), err = dec(b); return err },
	}
	return nil
}

func (b *builder) iface(c *coder) *Error {
	found := b.lenient
	numbers.Range(func(t, _ any) bool {
		found = found || t.(reflect.Type).Implements(c.t)
		return !found
	})
	if !found {
		return refuse("is an interface (%v) and no type that implements it is registered; call api.RegisterType for each type it may hold", c.t)
	}
	c.ref = true
	c.enc = func(e *Encoder, v unsafe.Pointer) *Error { return encodeIface(e, c.t, v) }
	c.dec = func(d *Decoder, v unsafe.Pointer) *Error { return decodeIface(d, c.t, v) }
	return nil
}

func encodeIface(e *Encoder, t reflect.Type, v unsafe.Pointer) *Error {
	held := reflect.NewAt(t, v).Elem().Elem()
	if !held.IsValid() {
		e.Byte(0)
		return nil
	}
	n, ok := numbers.Load(held.Type())
	if !ok {
		return refuse("holds a %v, which is not registered; call api.RegisterType[%v]() when the program starts", held.Type(), held.Type())
	}
	p, err := PlanFor(held.Type())
	if err != nil {
		return &Error{Why: fmt.Sprintf("holds a %v", held.Type()), Err: err}
	}
	if er := e.enter(); er != nil {
		return er
	}
	e.Byte(1)
	e.Uint64(n.(uint64))
	box := reflect.New(held.Type())
	box.Elem().Set(held)
	er := p.root.enc(e, box.UnsafePointer())
	e.depth--
	return er
}

func decodeIface(d *Decoder, t reflect.Type, v unsafe.Pointer) *Error {
	out := reflect.NewAt(t, v).Elem()
	out.SetZero()
	ok, er := d.flag()
	if er != nil || !ok {
		return er
	}
	n, er := d.uint64()
	if er != nil {
		return er
	}
	held, ok := types.Load(n)
	if !ok {
		return &Error{Why: fmt.Sprintf("holds a type with the number %016x, which is not registered here; call api.RegisterType for it when the program starts", n), reading: true}
	}
	ct := held.(reflect.Type)
	if !ct.Implements(t) {
		return damaged("is a %v and cannot hold the %v found", t, ct)
	}
	p, err := PlanFor(ct)
	if err != nil {
		return &Error{Why: fmt.Sprintf("holds a %v", ct), Err: err, reading: true}
	}
	if er := d.enter(); er != nil {
		return er
	}
	box := reflect.New(ct)
	if er := p.root.dec(d, box.UnsafePointer()); er != nil {
		return er
	}
	d.depth--
	out.Set(box.Elem())
	return nil
}

// signature is the structure of t in text, by which bytes of another type are told. A named type that
// comes again is the number of its first coming, so that recursive types end. It is called under mu.
func signature(t reflect.Type) string {
	var b strings.Builder
	sign(&b, t, map[reflect.Type]int{})
	return b.String()
}

func sign(b *strings.Builder, t reflect.Type, seen map[reflect.Type]int) {
	if opaque(t) {
		fmt.Fprintf(b, "<%s>", fullName(t))
		return
	}
	if n, ok := seen[t]; ok {
		fmt.Fprintf(b, "@%d", n)
		return
	}
	if t.Name() != "" && t.Kind() > reflect.Complex128 && t.Kind() != reflect.String {
		seen[t] = len(seen)
	}
	switch t.Kind() {
	case reflect.Pointer:
		b.WriteByte('*')
		sign(b, t.Elem(), seen)
	case reflect.Slice:
		b.WriteString("[]")
		sign(b, t.Elem(), seen)
	case reflect.Array:
		fmt.Fprintf(b, "[%d]", t.Len())
		sign(b, t.Elem(), seen)
	case reflect.Map:
		b.WriteString("map[")
		sign(b, t.Key(), seen)
		b.WriteByte(']')
		sign(b, t.Elem(), seen)
	case reflect.Struct:
		b.WriteString("struct{")
		for i := range t.NumField() {
			b.WriteString(t.Field(i).Name + " ")
			sign(b, t.Field(i).Type, seen)
			b.WriteByte(';')
		}
		b.WriteByte('}')
	default:
		b.WriteString(t.Kind().String())
	}
}

// fullName is t's name with its whole package path, or its text if it has none.
func fullName(t reflect.Type) string {
	switch {
	case t.Name() != "":
		return t.PkgPath() + "." + t.Name()
	case t.Kind() == reflect.Pointer:
		return "*" + fullName(t.Elem())
	}
	return t.String()
}
