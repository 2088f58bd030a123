package wire

import (
	"encoding/binary"
	"fmt"
	"time"
)

// A range is calls of one function whose numbers follow each other: one frame and one slot for all of them. Their
// results come in batches.
const (
	ShortRange = ShortCancelAll + 1 + iota // Call of the first, then the pieces: the arguments of one call after the other
	ShortDones                             // the slot of a range, then how pieces of it ended
	shortAfter
)

// MaxRange bounds the calls of a range.
const MaxRange = 4096

// AppendRange adds the head of a range to b, of which c is the first call; its pieces follow.
func (c *Call) AppendRange(b []byte) []byte {
	at := len(b)
	b = c.Append(b)
	b[at] = ShortRange
	return b
}

// ParseRange takes the head off b, which is a ShortRange; pieces are a part of b.
func ParseRange(b []byte) (first Call, pieces []byte, err error) { return ParseCall(b) }

// pieceRoom is what stands before the arguments of a piece: how many bytes they take.
const pieceRoom = 2

// OpenPiece starts a piece: its arguments are to be appended.
func OpenPiece(b []byte) []byte { return append(b, 0, 0) }

// ClosePiece ends the piece that begins at a place of b; false where it is too long to be one.
func ClosePiece(b []byte, at int) bool {
	n := len(b) - at - pieceRoom
	if n > 1<<16-1 {
		return false
	}
	binary.LittleEndian.PutUint16(b[at:], uint16(n))
	return true
}

// ParsePiece takes a piece off b.
func ParsePiece(b []byte) (args, rest []byte, err error) {
	r := reader{b: b}
	if n := r.take(pieceRoom); n != nil {
		args = r.take(int(binary.LittleEndian.Uint16(n)))
	}
	return args, r.b, shortError("piece of a range", r.err)
}

// AppendDones starts a ShortDones; AppendPiece adds to it.
func AppendDones(b []byte, slot uint32) []byte {
	return binary.AppendUvarint(append(b, ShortDones), uint64(slot))
}

// AppendPiece adds how a piece of a range ended, whose slot does not count here.
func (d *Ended) AppendPiece(b []byte, index uint32, result []byte) []byte {
	b = binary.AppendUvarint(b, uint64(index))
	b = append(b, d.flags())
	if d.Took > 0 {
		b = binary.AppendUvarint(b, uint64(d.Took))
	}
	return append(binary.AppendUvarint(b, uint64(len(result))), result...)
}

// ParseDones takes the head off b, which is a ShortDones.
func ParseDones(b []byte) (slot uint32, pieces []byte, err error) {
	r := reader{b: b[1:]}
	slot = r.small(MaxSlots)
	return slot, r.b, shortError("results", r.err)
}

// ParsePieceEnd takes how a piece ended off b; the result is a part of b.
func ParsePieceEnd(b []byte) (index uint32, d Ended, result, rest []byte, err error) {
	r := reader{b: b}
	index = r.small(MaxRange)
	d.setFlags(r.u8(), &r)
	n := r.uv()
	result = r.take(int(min(n, MaxBody)))
	return index, d, result, r.b, shortError("result of a piece", r.err)
}

func (d *Ended) flags() byte {
	return doneNamed*b2u(d.Named) | doneBare*b2u(d.Bare) | doneError*b2u(d.Error) | doneTook*b2u(d.Took > 0)
}

// setFlags is the reverse of flags; the time follows where there is one.
func (d *Ended) setFlags(flags byte, r *reader) {
	d.Named, d.Bare, d.Error = flags&doneNamed != 0, flags&doneBare != 0, flags&doneError != 0
	if flags&doneTook != 0 {
		d.Took = max(0, time.Duration(r.uv()))
	}
}

// Alone is the index of what is no piece of a range.
const Alone = -1

// AppendSlot adds a ShortAdopt or a ShortCancel to b, of a piece of a range or of what came alone.
func AppendSlot(b []byte, kind byte, slot uint32, index int) []byte {
	b = binary.AppendUvarint(append(b, kind), uint64(slot))
	if index == Alone {
		return b
	}
	return binary.AppendUvarint(b, uint64(index))
}

// ParseSlot takes a ShortAdopt or a ShortCancel apart.
func ParseSlot(b []byte) (slot uint32, index int, err error) {
	r := reader{b: b[1:]}
	slot, index = r.small(MaxSlots), Alone
	if r.err == nil && len(r.b) > 0 {
		index = int(r.small(MaxRange))
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail(fmt.Errorf("%w: %d bytes too many", ErrLimit, len(r.b)))
	}
	return slot, index, shortError("frame", r.err)
}
