package codec

import (
	"reflect"
	"strings"
	"sync"
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

// Plan says how values of one type are carried. It never changes.
type Plan struct {
	typ    reflect.Type
	root   *coder
	form   form
	hash   uint64
	hasRef bool
}

var (
	mu     sync.Mutex // guards building plans and registering
	plans  sync.Map   // reflect.Type to *Plan; written under mu
	byHash sync.Map   // hash of a Plan to its reflect.Type, for errors
)

// PlanOf gives the plan of T, or an *Error that names the part of T that cannot be carried.
func PlanOf[T any]() (*Plan, error) { return PlanFor(reflect.TypeFor[T]()) }

// PlanFor gives the plan of t, or an *Error that names the part of t that cannot be carried.
func PlanFor(t reflect.Type) (*Plan, error) {
	if p, ok := plans.Load(t); ok {
		return p.(*Plan), nil
	}
	if t == nil {
		return nil, refuse("has no type")
	}
	mu.Lock()
	defer mu.Unlock()
	b := builder{made: map[reflect.Type]*coder{}}
	root, er := b.coder(t)
	if er != nil {
		return nil, er.of(t)
	}
	for ct, c := range b.made {
		coders[ct] = c
	}
	p := &Plan{typ: t, root: root, hash: xxhash.Sum64String(signature(t)), hasRef: root.hasRef(map[*coder]bool{})}
	p.form = formTree
	switch {
	case promises(t, topType):
		p.form = formTop
	case root.raw:
		p.form = formRaw
	case root.text:
		p.form = formText
	case root.elem != nil && root.elem.raw && root.elem.t.Size() > 0:
		p.form = formSlice
	}
	byHash.LoadOrStore(p.hash, t)
	got, _ := plans.LoadOrStore(t, p)
	return got.(*Plan), nil
}

// Type is the type whose plan p is.
func (p *Plan) Type() reflect.Type { return p.typ }

// Immediate says that a plain assignment is a copy of a value: it holds no pointers but those of strings, and
// no part of it has a codec of its own.
func (p *Plan) Immediate() bool { return p.root.plain }

// TopLevel says that the type gives its own bytes, in one piece: see the interface of that name.
func (p *Plan) TopLevel() bool { return p.form == formTop }

// HasRefs says that a value may hold Specials. It is true for every type with an interface in it.
func (p *Plan) HasRefs() bool { return p.hasRef }

// Encoded is a written value.
type Encoded struct {
	Head []byte
	Body []byte // may alias the value: copy it before giving control back
	Refs []Ref  // the table of references
	Keep []any  // what must stay alive until the value is copied

	all []byte // Head and Body in one piece of memory, where they are
}

// Len is the number of bytes of Head and Body.
func (e *Encoded) Len() int { return len(e.Head) + len(e.Body) }

// CopyTo copies Head and Body to the first Len bytes of dst.
func (e *Encoded) CopyTo(dst []byte) { copy(dst[copy(dst[:e.Len()], e.Head):], e.Body) }

// Bytes is Head and Body in one piece, which does not alias the value. Further calls may give the same memory.
func (e *Encoded) Bytes() []byte {
	if e.all == nil {
		var b strings.Builder // it does not clear the memory that is about to be filled
		b.Grow(e.Len())
		b.Write(e.Head)
		b.Write(e.Body)
		e.all = unsafe.Slice(unsafe.StringData(b.String()), b.Len())
	}
	return e.all
}

// Encode writes the value at v. The context goes to the Specials inside.
func (p *Plan) Encode(ctx any, v unsafe.Pointer) (Encoded, error) {
	if body, flags, ok := p.view(v); ok {
		return Encoded{Head: p.head(flags, nil, body, 0), Body: body}, nil
	}
	e := encoders.Get().(*Encoder)
	defer e.free()
	body, err := p.write(e, ctx, v)
	if err != nil {
		return Encoded{}, err
	}
	out := Encoded{Body: body, Refs: e.refs, Keep: e.keep}
	table := appendTable(nil, e.refs)
	switch {
	case p.form == formTop:
		out.Head = p.head(topFlags(body, table), table, body, 0)
	case len(body) > maxPooled:
		out.Head = p.head(0, table, body, 0)
		e.buf = nil // body is the caller's now
	default:
		out.Head = p.head(0, table, body, len(body))
		n := len(out.Head)
		all := append(out.Head, body...)
		out.Head, out.Body, out.all = all[:n:n], all[n:], all
	}
	return out, nil
}

// AppendEncode appends the encoded value at v to dst. It returns what Encode returns as Refs and Keep.
func (p *Plan) AppendEncode(ctx any, dst []byte, v unsafe.Pointer) ([]byte, []Ref, []any, error) {
	if body, flags, ok := p.view(v); ok {
		return append(appendHead(dst, p.form, flags, p.hash, nil, len(body)), body...), nil, nil, nil
	}
	e := encoders.Get().(*Encoder)
	defer e.free()
	body, err := p.write(e, ctx, v)
	if err != nil {
		return dst, nil, nil, err
	}
	table, flags := appendTable(nil, e.refs), uint16(0)
	if p.form == formTop {
		flags = topFlags(body, table)
	}
	dst = appendHead(dst, p.form, flags, p.hash, table, len(body))
	return append(dst, body...), e.refs, e.keep, nil
}

// topFlags marks the zero value of a top-level type: no body, not even an empty one, and no references.
func topFlags(body, table []byte) uint16 {
	if body == nil && len(table) == 0 {
		return flagNil
	}
	return 0
}

// head makes a head with room for more bytes behind it.
func (p *Plan) head(flags uint16, table, body []byte, more int) []byte {
	room := make([]byte, 0, headLen(len(table))+more)
	return appendHead(room, p.form, flags, p.hash, table, len(body))
}

// TopHead is the head of a TopLevel value that holds no references, for who puts its body of n bytes in place. The whole
// value may have more room than that.
func (p *Plan) TopHead(n, room int) []byte {
	flags := uint16(0)
	if room > HeadLen+n {
		flags = flagRoom
	}
	return appendHead(nil, formTop, flags, p.hash, nil, n)
}

// TopBody is the body of a TopLevel value that was written with TopHead by this process, or checked by it.
func TopBody(data []byte) []byte {
	n := HeadLen + order.Uint64(data[24:])
	return data[HeadLen:n:n]
}

// view gives the payload of the forms that are a piece of memory.
func (p *Plan) view(v unsafe.Pointer) (body []byte, flags uint16, ok bool) {
	switch p.form {
	case formRaw:
		return unsafe.Slice((*byte)(v), p.typ.Size()), 0, true
	case formText:
		s := *(*string)(v)
		return unsafe.Slice(unsafe.StringData(s), len(s)), 0, true
	case formSlice:
		s := (*slice)(v)
		if s.data == nil {
			flags = flagNil
		}
		return s.bytes(p.root.elem.t.Size()), flags, true
	}
	return nil, 0, false
}

// write gives the payload of the other forms. That of a tree is e's buffer.
func (p *Plan) write(e *Encoder, ctx any, v unsafe.Pointer) ([]byte, error) {
	e.Context = ctx
	var body []byte
	var er *Error
	if p.form == formTop {
		var err error
		body, err = reflect.NewAt(p.typ, v).Interface().(TopLevel).EncodeTop(e)
		er = own(err, false)
		if er == nil && len(e.buf) > 0 {
			er = refuse("wrote %d bytes to its encoder; a top-level value gives a body instead", len(e.buf))
		}
	} else {
		er = p.root.enc(e, v)
		body = e.buf
	}
	if er == nil && len(body) > MaxValue {
		er = refuse("takes %d bytes, the limit is %d", len(body), MaxValue)
	}
	if er != nil {
		return nil, er.of(p.typ)
	}
	return body, nil
}

// Decode reads the value in data into out, which it overwrites. After an error out may be half written.
func (p *Plan) Decode(ctx any, data []byte, out unsafe.Pointer) error {
	h, er := parse(data)
	if er == nil {
		er = h.check(p)
	}
	if er == nil {
		er = p.read(ctx, data, &h, out)
	}
	if er != nil {
		return er.of(p.typ)
	}
	return nil
}

func (p *Plan) read(ctx any, data []byte, h *parsed, out unsafe.Pointer) *Error {
	switch p.form {
	case formRaw:
		if uint64(len(h.payload)) != uint64(p.typ.Size()) {
			return damaged("has %d bytes instead of %d", len(h.payload), p.typ.Size())
		}
		return p.root.setRaw(out, h.payload)
	case formText:
		*(*string)(out) = string(h.payload)
		return nil
	case formSlice:
		size := p.root.elem.t.Size()
		if uint64(len(h.payload))%uint64(size) != 0 {
			return damaged("has %d bytes, its elements %d", len(h.payload), size)
		}
		return p.root.setSlice(out, h.payload, h.flags&flagNil != 0)
	}
	refs, er := parseTable(h.table)
	if er != nil {
		return er
	}
	d := &Decoder{Context: ctx, data: data, in: h.payload, refs: refs}
	if p.form == formTop {
		d.in = nil
		if h.flags&flagNil != 0 {
			zeroed(p.typ, out)
			return nil
		}
		return own(zeroed(p.typ, out).(TopLevel).DecodeTop(d, h.payload), true)
	}
	if er := p.root.dec(d, out); er != nil {
		return er
	}
	if len(d.in) != 0 {
		return damaged("has %d bytes too many", len(d.in))
	}
	return nil
}

// EncodeValue writes v by the plan of T.
func EncodeValue[T any](ctx any, v T) (Encoded, error) {
	p, err := PlanOf[T]()
	if err != nil {
		return Encoded{}, err
	}
	return p.Encode(ctx, unsafe.Pointer(&v))
}

// DecodeValue reads a T by its plan.
func DecodeValue[T any](ctx any, data []byte) (v T, err error) {
	p, err := PlanOf[T]()
	if err != nil {
		return v, err
	}
	err = p.Decode(ctx, data, unsafe.Pointer(&v))
	return v, err
}
