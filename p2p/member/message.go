package member

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kadrehq/kadre/internal/id"
)

// Limits of messages.
const (
	MaxMeta   = 16 << 10
	MaxLoad   = 1 << 10
	MaxAddrs  = 32
	maxText   = 255 // bytes of an ID or an address
	maxClaims = 255 // of one message; longer views take several
	maxLoads  = 255
)

// Message is what machines say to each other.
type Message interface{ append(b []byte) []byte }

// The messages. All that carry Gossip spread claims and loads along with what they are for.
type (
	// Ping asks for an Ack.
	Ping struct {
		Seq uint64
		Gossip
	}
	// Ack answers a Ping, and a PingReq once the target has answered.
	Ack struct {
		Seq uint64
		Gossip
	}
	// PingReq asks a third node to ping the target.
	PingReq struct {
		Seq    uint64
		Target id.Node
		Epoch  uint64
		Gossip
	}
	// Nack answers a PingReq at once: so much of the way works.
	Nack struct{ Seq uint64 }
	// Gossip spreads claims and loads.
	Gossip struct {
		Claims []Claim
		Loads  []Load
	}
	// Sum tells which members the sender counts, as a hash; a receiver that counts others sends a Sync.
	Sum struct{ Hash uint64 }
	// Sync is part of a whole view.
	Sync struct {
		Reply bool // send yours
		Gossip
	}
	// Pull asks for an Update.
	Pull struct{}
	// Update replaces what the sender says of itself.
	Update struct{ Desc }
	// Beat measures a lane's round trip and shows that it passes bytes.
	Beat struct {
		Now  int64 // the sender's clock: to be echoed; 0 in the echo
		Echo int64 // Now of the Beat that this one echoes
	}
	// Bye says that the sender leaves.
	Bye struct{}
)

// Claim is what the gossip says of one start of a node. Only the node itself makes an Alive claim, and only it
// raises Inc, to refute a claim that it is not.
type Claim struct {
	ID     id.Node
	Epoch  uint64
	Inc    uint32
	State  State    // Alive, Suspect, Dead or Left
	From   id.Node  // of Suspect and Dead: who noticed
	Digest uint64   // of Alive: the descriptor's
	Addrs  []string // of Alive
}

// Load is what a node last told of how busy it is.
type Load struct {
	ID    id.Node
	Epoch uint64
	Seq   uint64 // a higher one replaces a lower one
	Load  []byte
}

// Desc is what a node says of itself.
type Desc struct {
	Inc   uint32
	Seq   uint64 // of Load
	Addrs []string
	Meta  []byte
	Load  []byte
}

const (
	tagPing = iota + 1
	tagAck
	tagPingReq
	tagNack
	tagGossip
	tagSum
	tagSync
	tagPull
	tagUpdate
	tagBeat
	tagBye
)

// ErrMessage says that a message is malformed.
var ErrMessage = errors.New("member: malformed message")

// Append encodes m.
func Append(b []byte, m Message) []byte { return m.append(b) }

func u64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func (m Ping) append(b []byte) []byte { return m.Gossip.body(u64(append(b, tagPing), m.Seq)) }
func (m Ack) append(b []byte) []byte  { return m.Gossip.body(u64(append(b, tagAck), m.Seq)) }
func (m PingReq) append(b []byte) []byte {
	b = u64(append(b, tagPingReq), m.Seq)
	return m.Gossip.body(u64(appendText(b, string(m.Target)), m.Epoch))
}
func (m Nack) append(b []byte) []byte   { return u64(append(b, tagNack), m.Seq) }
func (m Gossip) append(b []byte) []byte { return m.body(append(b, tagGossip)) }
func (m Sum) append(b []byte) []byte    { return u64(append(b, tagSum), m.Hash) }
func (m Sync) append(b []byte) []byte {
	var reply byte
	if m.Reply {
		reply = 1
	}
	return m.Gossip.body(append(b, tagSync, reply))
}
func (Pull) append(b []byte) []byte     { return append(b, tagPull) }
func (m Update) append(b []byte) []byte { return AppendDesc(append(b, tagUpdate), m.Desc) }
func (m Beat) append(b []byte) []byte {
	return u64(u64(append(b, tagBeat), uint64(m.Now)), uint64(m.Echo))
}
func (Bye) append(b []byte) []byte { return append(b, tagBye) }

func (g Gossip) body(b []byte) []byte {
	b = append(b, byte(len(g.Claims)))
	for _, c := range g.Claims {
		b = append(u64(appendText(b, string(c.ID)), c.Epoch), byte(c.State))
		b = binary.BigEndian.AppendUint32(b, c.Inc)
		if c.State == Alive {
			b = appendAddrs(u64(b, c.Digest), c.Addrs)
		} else {
			b = appendText(b, string(c.From))
		}
	}
	b = append(b, byte(len(g.Loads)))
	for _, l := range g.Loads {
		b = u64(u64(appendText(b, string(l.ID)), l.Epoch), l.Seq)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(l.Load))), l.Load...)
	}
	return b
}

// AppendDesc encodes a descriptor. Addresses past the limits are left out.
func AppendDesc(b []byte, d Desc) []byte {
	b = u64(binary.BigEndian.AppendUint32(b, d.Inc), d.Seq)
	b = appendAddrs(b, d.Addrs)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(d.Meta))), d.Meta...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(d.Load))), d.Load...)
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	return append(append(b, byte(len(s))), s...)
}

func appendAddrs(b []byte, addrs []string) []byte {
	at := len(b)
	b = append(b, 0)
	for _, a := range addrs {
		if len(a) <= maxText && b[at] < MaxAddrs {
			b[at]++
			b = appendText(b, a)
		}
	}
	return b
}

// reader cuts a message into its parts. After the first part that is not there all are empty.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) || r.bad {
		r.bad = true
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u8() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if p := r.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (r *reader) text() string { return string(r.take(int(r.u8()))) }

// bytes takes n bytes, a copy, if that is within the limit.
func (r *reader) bytes(n uint64, limit int) []byte {
	if n > uint64(limit) {
		r.bad = true
		return nil
	}
	return append([]byte(nil), r.take(int(n))...)
}

func (r *reader) addrs() (l []string) {
	n := int(r.u8())
	r.bad = r.bad || n > MaxAddrs
	for i := 0; i < n && !r.bad; i++ {
		l = append(l, r.text())
	}
	return l
}

func (r *reader) gossip() (g Gossip) {
	for n := int(r.u8()); n > 0 && !r.bad; n-- {
		c := Claim{ID: id.Node(r.text()), Epoch: r.u64(), State: State(r.u8()), Inc: r.u32()}
		switch c.State {
		case Alive:
			c.Digest, c.Addrs = r.u64(), r.addrs()
		case Suspect, Dead, Left:
			c.From = id.Node(r.text())
		default:
			r.bad = true
		}
		g.Claims = append(g.Claims, c)
	}
	for n := int(r.u8()); n > 0 && !r.bad; n-- {
		l := Load{ID: id.Node(r.text()), Epoch: r.u64(), Seq: r.u64()}
		l.Load = r.bytes(uint64(r.u16()), MaxLoad)
		g.Loads = append(g.Loads, l)
	}
	return g
}

func (r *reader) desc() (d Desc) {
	d.Inc, d.Seq, d.Addrs = r.u32(), r.u64(), r.addrs()
	d.Meta = r.bytes(uint64(r.u32()), MaxMeta)
	d.Load = r.bytes(uint64(r.u32()), MaxLoad)
	return d
}

// ParseDesc decodes what AppendDesc wrote, all of b, and shares nothing with it.
func ParseDesc(b []byte) (Desc, error) {
	r := reader{b: b}
	d := r.desc()
	if r.bad || len(r.b) > 0 {
		return Desc{}, fmt.Errorf("%w: descriptor of %d bytes", ErrMessage, len(b))
	}
	return d, nil
}

// Parse decodes what Append wrote. The message shares nothing with b.
func Parse(b []byte) (Message, error) {
	r := reader{b: b}
	m := r.message(r.u8())
	if m == nil || r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes", ErrMessage, len(b))
	}
	return m, nil
}

func (r *reader) message(tag byte) Message {
	switch tag {
	case tagPing:
		return Ping{r.u64(), r.gossip()}
	case tagAck:
		return Ack{r.u64(), r.gossip()}
	case tagPingReq:
		return PingReq{r.u64(), id.Node(r.text()), r.u64(), r.gossip()}
	case tagNack:
		return Nack{r.u64()}
	case tagGossip:
		return r.gossip()
	case tagSum:
		return Sum{r.u64()}
	case tagSync:
		return Sync{r.u8() != 0, r.gossip()}
	case tagPull:
		return Pull{}
	case tagUpdate:
		return Update{r.desc()}
	case tagBeat:
		return Beat{int64(r.u64()), int64(r.u64())}
	case tagBye:
		return Bye{}
	}
	return nil
}
