package directory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Limits of messages.
const (
	maxRequest  = 512 << 10 // bytes of a put
	maxPage     = 512 << 10 // bytes of an answer to a read, about
	maxPages    = 1 << 10
	maxWriter   = 128 // bytes of a node's name
	putFixed    = 32 + 2 + 20 + 8 + 8 + 8 + 1 + 2
	storedFixed = 2 + 20 + 8 + 8 + 8 + 1 + 1 + 2
)

const (
	tagPut    = 1
	tagRead   = 2
	tagOK     = 3
	tagPage   = 4
	tagFailed = 5
)

// ErrMessage says that a request or an answer is malformed.
var ErrMessage = errors.New("directory: malformed message")

// put is a request to write; times travel as what is left, in milliseconds: clocks differ.
type put struct{ b []byte }

func newPut() *put { return &put{[]byte{tagPut}} }

func (p *put) room() bool { return len(p.b) < maxRequest-putFixed-MaxValue }

func (p *put) bytes() []byte { return p.b }

func (p *put) add(at place, it item, now time.Time) {
	b := append(p.b, at.key[:]...)
	b = binary.BigEndian.AppendUint16(b, at.shard)
	b = append(b, at.sub[:]...)
	b = binary.BigEndian.AppendUint64(b, it.epoch)
	b = binary.BigEndian.AppendUint64(b, it.seq)
	b = binary.BigEndian.AppendUint64(b, left(it.expiry, now))
	b = append(b, flag(it.delete))
	b = binary.BigEndian.AppendUint16(b, uint16(len(it.value)))
	p.b = append(b, it.value...)
}

func left(expiry, now time.Time) uint64 { return uint64(max(expiry.Sub(now).Milliseconds(), 0)) }

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// eachPut calls f for every write in the body of a put; values point into b. It checks all of b before the first call.
func eachPut(b []byte, now time.Time, f func(place, item)) error {
	for pass := range 2 {
		for r := b; len(r) > 0; {
			if len(r) < putFixed {
				return fmt.Errorf("%w: a write ends early", ErrMessage)
			}
			n := int(binary.BigEndian.Uint16(r[putFixed-2:]))
			ttl := binary.BigEndian.Uint64(r[70:])
			if n > MaxValue || len(r) < putFixed+n || r[78] > 1 || ttl > uint64(MaxTTL.Milliseconds()) {
				return fmt.Errorf("%w: a write's value or time", ErrMessage)
			}
			if pass == 1 {
				var at place
				copy(at.key[:], r)
				at.shard = binary.BigEndian.Uint16(r[32:])
				copy(at.sub[:], r[34:])
				f(at, item{
					epoch: binary.BigEndian.Uint64(r[54:]), seq: binary.BigEndian.Uint64(r[62:]),
					expiry: now.Add(time.Duration(ttl) * time.Millisecond), delete: r[78] == 1, value: r[putFixed : putFixed+n],
				})
			}
			r = r[putFixed+n:]
		}
	}
	return nil
}

// maxRefusal is how much of a holder's refusal goes into the error.
const maxRefusal = 256

func parsePutAnswer(b []byte) error {
	if len(b) > 0 && b[0] == tagFailed {
		return fmt.Errorf("directory: the holder answered: %q", b[1:min(len(b), 1+maxRefusal)])
	}
	if len(b) != 1 || b[0] != tagOK {
		return fmt.Errorf("%w: answer to a put", ErrMessage)
	}
	return nil
}

// ask is a request to read.
type ask struct {
	key    Key
	all    bool
	sub    [20]byte // which object, unless all
	follow bool     // a further page: objects after this one
	after  [20]byte
	rough  bool // coarse records: not counted; does not travel
}

func (q ask) append(b []byte) []byte {
	b = append(append(b, tagRead), q.key[:]...)
	b = append(append(b, flag(q.all)), q.sub[:]...)
	return append(append(b, flag(q.follow)), q.after[:]...)
}

func parseAsk(b []byte) (q ask, err error) {
	if len(b) != 74 || b[32] > 1 || b[53] > 1 {
		return q, fmt.Errorf("%w: read of %d bytes", ErrMessage, len(b))
	}
	copy(q.key[:], b)
	q.all = b[32] == 1
	copy(q.sub[:], b[33:])
	q.follow = b[53] == 1
	copy(q.after[:], b[54:])
	return q, nil
}

// stored is a record in an answer.
type stored struct {
	rec  Record
	seq  uint64
	dead bool // a tombstone: an older record of another holder does not count
}

func (s stored) newer(o stored) bool {
	return later(s.rec.Epoch, s.seq, o.rec.Epoch, o.seq)
}

// later orders the writes of one writer to one place.
func later(epoch, seq, thanEpoch, thanSeq uint64) bool {
	return epoch > thanEpoch || epoch == thanEpoch && seq > thanSeq
}

func appendStored(b []byte, s stored, now time.Time) []byte {
	b = binary.BigEndian.AppendUint16(b, s.rec.Shard)
	b = append(b, s.rec.Sub[:]...)
	b = binary.BigEndian.AppendUint64(b, s.rec.Epoch)
	b = binary.BigEndian.AppendUint64(b, s.seq)
	b = binary.BigEndian.AppendUint64(b, left(s.rec.Expiry, now))
	b = append(b, flag(s.dead), byte(len(s.rec.Writer)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.rec.Value)))
	return append(append(b, s.rec.Writer...), s.rec.Value...)
}

// parsePage reads an answer to a read. Values are copied.
func parsePage(b []byte, key Key, now time.Time) (page []stored, more bool, err error) {
	if len(b) > 0 && b[0] == tagFailed {
		return nil, false, fmt.Errorf("directory: the holder answered: %s", b[1:])
	}
	if len(b) < 2 || b[0] != tagPage || b[1] > 1 {
		return nil, false, fmt.Errorf("%w: answer to a read", ErrMessage)
	}
	more = b[1] == 1
	for b = b[2:]; len(b) > 0; {
		if len(b) < storedFixed {
			return nil, false, fmt.Errorf("%w: a record ends early", ErrMessage)
		}
		nw, nv := int(b[47]), int(binary.BigEndian.Uint16(b[48:]))
		ttl := binary.BigEndian.Uint64(b[38:])
		if nw > maxWriter || nv > MaxValue || len(b) < storedFixed+nw+nv || b[46] > 1 || ttl > uint64(MaxTTL.Milliseconds()) {
			return nil, false, fmt.Errorf("%w: a record's value or time", ErrMessage)
		}
		s := stored{seq: binary.BigEndian.Uint64(b[30:]), dead: b[46] == 1}
		s.rec = Record{
			Key: key, Shard: binary.BigEndian.Uint16(b), Epoch: binary.BigEndian.Uint64(b[22:]),
			Expiry: now.Add(time.Duration(ttl) * time.Millisecond),
			Writer: id.Node(b[storedFixed : storedFixed+nw]),
			Value:  append([]byte(nil), b[storedFixed+nw:storedFixed+nw+nv]...),
		}
		copy(s.rec.Sub[:], b[2:])
		page = append(page, s)
		b = b[storedFixed+nw+nv:]
	}
	return page, more, nil
}
