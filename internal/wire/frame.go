package wire

import (
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Version of frames and messages. Neighbours of another version are refused when they attach or connect.
const Version = 2

// Flags of a frame.
const (
	FlagReply uint8 = 1 << iota // answers the request of this number
	FlagError                   // a reply whose body is an ErrorRecord
)

// Frame is one message in its envelope.
type Frame struct {
	Kind  Kind
	Flags uint8
	Epoch uint64        // of the sending node
	Left  time.Duration // until the sender no longer cares; 0: it always does
	From  id.Addr
	To    id.Addr
	Req   uint64 // number of a request, chosen by the requester; 0: no reply is wanted
	Body  []byte
}

// Head is a copy of f without its body, which is the receiver's no longer when its handler has returned: what a later
// reply needs.
func (f *Frame) Head() *Frame {
	h := *f
	h.Body = nil
	return &h
}

// Append adds the encoding of f to b.
func (f *Frame) Append(b []byte) []byte { return append(f.appendHead(b), f.Body...) }

// appendHead adds the encoding of f without its body.
func (f *Frame) appendHead(b []byte) []byte {
	a := appender{b}
	a.u8(Version)
	a.u8(uint8(f.Kind))
	a.u8(f.Flags)
	a.uv(f.Epoch)
	a.uv(uint64(max(0, f.Left)))
	a.addr(f.From)
	a.addr(f.To)
	a.uv(f.Req)
	return a.b
}

// ParseFrame takes a frame apart. Its Body is a part of b.
func ParseFrame(b []byte) (f Frame, err error) {
	r := reader{b: b}
	if v := r.u8(); r.err == nil && v != Version {
		r.fail(ErrVersion)
	}
	f.Kind = Kind(r.u8())
	f.Flags = r.u8()
	f.Epoch = r.uv()
	f.Left = time.Duration(r.uv())
	f.From = r.addr()
	f.To = r.addr()
	f.Req = r.uv()
	if r.err == nil && len(r.b) > MaxBody {
		r.fail(ErrLimit)
	}
	f.Body, r.b = r.b, nil
	if err := r.end("frame"); err != nil {
		return Frame{}, err
	}
	if f.Left < 0 {
		f.Left = 0
	}
	return f, nil
}

// Reply is the answer to f with this body.
func (f *Frame) Reply(body []byte) Frame {
	return Frame{Kind: f.Kind, Flags: FlagReply, From: f.To, To: f.From, Req: f.Req, Body: body}
}

// ReplyError is the answer to f that says why it failed.
func (f *Frame) ReplyError(e ErrorRecord) Frame {
	r := f.Reply(e.Append(nil))
	r.Flags |= FlagError
	return r
}
