package member

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kadrehq/kadre/internal/id"
)

// Limits of messages.
const (
	MaxMeta    = 16 << 10
	MaxAddrs   = 32
	maxText    = 255 // bytes of an ID or an address
	MaxEntries = 64  // of one List; longer views take several
)

// Message is what machines say to each other.
type Message interface{ append(b []byte) []byte }

// The messages.
type (
	// Beat shows that the sender lives and measures the round trip.
	Beat struct {
		Now  int64 // the sender's clock
		Echo int64 // Now of the last Beat it got, 0: none
		Held int64 // how long ago that was
	}
	// List tells of members.
	List struct{ Entries []Entry }
	// Update replaces what the sender says of itself.
	Update struct {
		Addrs []string
		Meta  []byte
	}
	// Bye says that the sender leaves.
	Bye struct{}
)

// Entry is a member in a List.
type Entry struct {
	ID    id.Node
	Epoch uint64
	Addrs []string
}

const (
	tagBeat = iota + 1
	tagList
	tagUpdate
	tagBye
)

// ErrMessage says that a message is malformed.
var ErrMessage = errors.New("member: malformed message")

// Append encodes m.
func Append(b []byte, m Message) []byte { return m.append(b) }

func (m Beat) append(b []byte) []byte {
	b = append(b, tagBeat)
	for _, v := range [...]int64{m.Now, m.Echo, m.Held} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b
}

func (m List) append(b []byte) []byte {
	b = append(b, tagList, byte(len(m.Entries)))
	for _, e := range m.Entries {
		b = appendText(b, string(e.ID))
		b = binary.BigEndian.AppendUint64(b, e.Epoch)
		b = appendAddrs(b, e.Addrs)
	}
	return b
}

func (m Update) append(b []byte) []byte { return AppendInfo(append(b, tagUpdate), m.Addrs, m.Meta) }

func (Bye) append(b []byte) []byte { return append(b, tagBye) }

// Parse decodes what Append wrote. The message shares nothing with b.
func Parse(b []byte) (Message, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrMessage)
	}
	tag, b := b[0], b[1:]
	switch {
	case tag == tagBeat && len(b) == 24:
		n := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) }
		return Beat{n(0), n(1), n(2)}, nil
	case tag == tagList:
		return parseList(b)
	case tag == tagUpdate:
		addrs, meta, err := ParseInfo(b)
		return Update{addrs, meta}, err
	case tag == tagBye && len(b) == 0:
		return Bye{}, nil
	}
	return nil, fmt.Errorf("%w: tag %d with %d bytes", ErrMessage, tag, len(b))
}

func parseList(b []byte) (Message, error) {
	if len(b) < 1 || b[0] > MaxEntries {
		return nil, fmt.Errorf("%w: list", ErrMessage)
	}
	n, b := int(b[0]), b[1:]
	var l List
	for range n {
		name, rest, ok := cutText(b)
		if !ok || len(rest) < 8 {
			return nil, fmt.Errorf("%w: a list's entry ends early", ErrMessage)
		}
		e := Entry{ID: id.Node(name), Epoch: binary.BigEndian.Uint64(rest)}
		if e.Addrs, b, ok = cutAddrs(rest[8:]); !ok {
			return nil, fmt.Errorf("%w: addresses of a list's entry", ErrMessage)
		}
		l.Entries = append(l.Entries, e)
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after a list", ErrMessage, len(b))
	}
	return l, nil
}

// AppendInfo encodes what a node says of itself. Addresses past the limits are left out.
func AppendInfo(b []byte, addrs []string, meta []byte) []byte {
	b = appendAddrs(b, addrs)
	b = binary.BigEndian.AppendUint32(b, uint32(len(meta)))
	return append(b, meta...)
}

// ParseInfo decodes what AppendInfo wrote, all of b, and shares nothing with it.
func ParseInfo(b []byte) (addrs []string, meta []byte, err error) {
	addrs, b, ok := cutAddrs(b)
	if !ok || len(b) < 4 {
		return nil, nil, fmt.Errorf("%w: addresses", ErrMessage)
	}
	n := binary.BigEndian.Uint32(b)
	if n > MaxMeta || int(n) != len(b)-4 {
		return nil, nil, fmt.Errorf("%w: descriptor of %d bytes, at most %d", ErrMessage, n, MaxMeta)
	}
	return addrs, append([]byte(nil), b[4:]...), nil
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	return append(append(b, byte(len(s))), s...)
}

func cutText(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 1 || len(b) < 1+int(b[0]) {
		return "", nil, false
	}
	return string(b[1 : 1+int(b[0])]), b[1+int(b[0]):], true
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

func cutAddrs(b []byte) (addrs []string, rest []byte, ok bool) {
	if len(b) < 1 || b[0] > MaxAddrs {
		return nil, nil, false
	}
	n, b := int(b[0]), b[1:]
	for range n {
		var a string
		if a, b, ok = cutText(b); !ok {
			return nil, nil, false
		}
		addrs = append(addrs, a)
	}
	return addrs, b, true
}
