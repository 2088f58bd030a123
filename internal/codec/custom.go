package codec

import (
	"bytes"
	"encoding"
	"errors"
	"math"
	"reflect"
	"time"
	"unsafe"

	"google.golang.org/protobuf/proto"
)

// Special is a type with bytes of its own that may hold references. Its pointer implements it.
type Special interface {
	EncodeSpecial(e *Encoder) error
	DecodeSpecial(d *Decoder) error
}

// TopLevel is a type whose value, when it is not inside another, is one piece of memory that lies in the
// encoded value at a multiple of 64. Its pointer implements it. EncodeTop may add references but writes nothing
// to e; the body is not copied, and nil without references is the zero value. DecodeTop may alias body as far as the owner of the Context allows. Inside
// another value such a type travels as the Special that it is too.
type TopLevel interface {
	EncodeTop(e *Encoder) (body []byte, err error)
	DecodeTop(d *Decoder, body []byte) error
}

var (
	timeType        = reflect.TypeFor[time.Time]()
	specialType     = reflect.TypeFor[Special]()
	topType         = reflect.TypeFor[TopLevel]()
	protoType       = reflect.TypeFor[proto.Message]()
	marshalerType   = reflect.TypeFor[encoding.BinaryMarshaler]()
	unmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
)

// promises says that a pointer to t implements i by t's own methods. Methods that come from an embedded field
// know nothing of the other fields and would lose them; whether t overrides them cannot be told, so such a t
// is carried field by field unless it is registered.
func promises(t, i reflect.Type) bool {
	if t.Kind() == reflect.Interface || !reflect.PointerTo(t).Implements(i) {
		return false
	}
	if t.Kind() != reflect.Struct {
		return true
	}
	for n := range t.NumField() {
		f := t.Field(n)
		if f.Anonymous && (f.Type.Implements(i) || reflect.PointerTo(f.Type).Implements(i)) {
			return false
		}
	}
	return true
}

// opaque says that t's encoding is not that of its parts.
func opaque(t reflect.Type) bool {
	_, registered := codecs[t]
	return registered || t == timeType || promises(t, specialType) || promises(t, protoType) || marshals(t)
}

// marshals says that t has a codec of the standard library's kind.
func marshals(t reflect.Type) bool {
	return promises(t, marshalerType) && promises(t, unmarshalerType)
}

// custom fills c if its type has an encoding of its own.
func (c *coder) custom() bool {
	t := c.t
	registered, ok := codecs[t]
	switch {
	case promises(t, specialType):
		c.fillSpecial()
	case ok:
		c.fillCodec(registered)
	case t == timeType:
		c.least, c.enc, c.dec = timeLen, encodeTime, decodeTime
	case promises(t, protoType):
		c.fillCodec(codecFuncs{
			enc: func(v unsafe.Pointer) ([]byte, error) {
				return proto.Marshal(reflect.NewAt(t, v).Interface().(proto.Message))
			},
			dec: func(b []byte, v unsafe.Pointer) error {
				return proto.Unmarshal(b, zeroed(t, v).(proto.Message))
			},
		})
	case marshals(t):
		c.fillCodec(codecFuncs{
			enc: func(v unsafe.Pointer) ([]byte, error) {
				return reflect.NewAt(t, v).Interface().(encoding.BinaryMarshaler).MarshalBinary()
			},
			dec: func(b []byte, v unsafe.Pointer) error {
				return zeroed(t, v).(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
			},
		})
	default:
		return false
	}
	return true
}

// zeroed gives a *t to the value at v, which it clears.
func zeroed(t reflect.Type, v unsafe.Pointer) any {
	p := reflect.NewAt(t, v)
	p.Elem().SetZero()
	return p.Interface()
}

// own wraps an error of a type's own codec.
func own(err error, reading bool) *Error {
	if err == nil {
		return nil
	}
	var er *Error
	if errors.As(err, &er) && error(er) == err {
		return er
	}
	return &Error{Why: "failed in its own codec", Err: err, reading: reading}
}

// fillSpecial writes a byte before what the Special writes, so that no value takes no bytes.
func (c *coder) fillSpecial() {
	c.ref = true
	c.enc = func(e *Encoder, v unsafe.Pointer) *Error {
		e.Byte(1)
		return own(reflect.NewAt(c.t, v).Interface().(Special).EncodeSpecial(e), false)
	}
	c.dec = func(d *Decoder, v unsafe.Pointer) *Error {
		if ok, er := d.flag(); er != nil || !ok {
			return damaged("has no mark of a %v", c.t)
		}
		return own(zeroed(c.t, v).(Special).DecodeSpecial(d), true)
	}
}

// codecFuncs are a codec of one type.
type codecFuncs struct {
	enc func(v unsafe.Pointer) ([]byte, error)
	dec func(b []byte, v unsafe.Pointer) error
}

func (c *coder) fillCodec(f codecFuncs) {
	c.enc = func(e *Encoder, v unsafe.Pointer) *Error {
		b, err := f.enc(v)
		if err != nil {
			return own(err, false)
		}
		e.Bytes(b)
		return nil
	}
	c.dec = func(d *Decoder, v unsafe.Pointer) *Error {
		b, er := d.bytes()
		if er != nil {
			return er
		}
		return own(f.dec(bytes.Clone(b), v), true) // the codec may keep it
	}
}

// A time is seconds since 1970, nanoseconds and the offset of its zone; UTC has an offset no zone can have.
const (
	timeLen = 16
	utc     = math.MinInt32
)

func encodeTime(e *Encoder, v unsafe.Pointer) *Error {
	t := (*time.Time)(v)
	_, off := t.Zone()
	if t.Location() == time.UTC {
		off = utc
	}
	e.Uint64(uint64(t.Unix()))
	e.Uint64(uint64(t.Nanosecond())<<32 | uint64(uint32(off)))
	return nil
}

func decodeTime(d *Decoder, v unsafe.Pointer) *Error {
	b, er := d.take(timeLen)
	if er != nil {
		return er
	}
	sec, low := int64(order.Uint64(b)), order.Uint64(b[8:])
	nano, off := int64(low>>32), int(int32(low))
	if nano >= int64(time.Second) {
		return damaged("has %d nanoseconds in a second", nano)
	}
	t := time.Unix(sec, nano)
	if off == utc {
		t = t.UTC()
	} else if _, here := t.Zone(); here != off {
		t = t.In(time.FixedZone("", off))
	}
	*(*time.Time)(v) = t
	return nil
}
