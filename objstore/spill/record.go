package spill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/kadrehq/kadre/internal/id"
)

// Chunk is how many bytes of an object have a sum of their own.
const Chunk = 4 << 20

// Info says which object a record is of.
type Info struct {
	ID      id.Object
	Job     id.Job
	Attempt uint32
	Size    int64
}

// A header, its numbers big-endian: magic, version, ID, attempt, job, size, bytes in a chunk, the CRC32C of the
// sums that follow it, and the CRC32C of all this.
const (
	magic     = 0x4b73706c
	version   = 1
	headerLen = 4 + 4 + 20 + 4 + 8 + 8 + 4 + 4 + 4
)

// ErrCorrupt says that a file does not hold what was written to it.
var ErrCorrupt = errors.New("spill: the record is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// chunks is how many chunks an object of a size has.
func chunks(size int64) int { return int((size + Chunk - 1) / Chunk) }

// bytes is how long the record of an object is.
func (i Info) bytes() int64 { return headerLen + 4*int64(chunks(i.Size)) + i.Size }

// sumsOf has the sum of each chunk of data.
func sumsOf(data []byte) []byte {
	sums := make([]byte, 0, 4*chunks(int64(len(data))))
	for len(data) > 0 {
		n := min(len(data), Chunk)
		sums = binary.BigEndian.AppendUint32(sums, crc32.Checksum(data[:n], castagnoli))
		data = data[n:]
	}
	return sums
}

// appendHead adds a record's header and sums to b.
func appendHead(b []byte, i Info, sums []byte) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, magic)
	b = binary.BigEndian.AppendUint32(b, version)
	b = append(b, i.ID[:]...)
	b = binary.BigEndian.AppendUint32(b, i.Attempt)
	b = append(b, i.Job[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(i.Size))
	b = binary.BigEndian.AppendUint32(b, Chunk)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(sums, castagnoli))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
	return append(b, sums...)
}

// parseHead checks a header and the sums behind it against what was written.
func parseHead(b []byte, want Info) (sums []byte, err error) {
	if len(b) != headerLen+4*chunks(want.Size) {
		return nil, fmt.Errorf("%w: its head has %d bytes", ErrCorrupt, len(b))
	}
	head, sums := b[:headerLen], b[headerLen:]
	if crc32.Checksum(head[:headerLen-4], castagnoli) != binary.BigEndian.Uint32(head[headerLen-4:]) {
		return nil, fmt.Errorf("%w: its header does not match its checksum", ErrCorrupt)
	}
	if m, v := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:]); m != magic || v != version {
		return nil, fmt.Errorf("%w: magic %#x and version %d, ours are %#x and %d", ErrCorrupt, m, v, uint32(magic), version)
	}
	got := Info{ID: id.Object(head[8:28]), Attempt: binary.BigEndian.Uint32(head[28:]), Job: id.Job(head[32:40]),
		Size: int64(binary.BigEndian.Uint64(head[40:]))}
	if n := binary.BigEndian.Uint32(head[48:]); got != want || n != Chunk {
		return nil, fmt.Errorf("%w: it is of %v, attempt %d, %d bytes in chunks of %d", ErrCorrupt, got.ID, got.Attempt, got.Size, n)
	}
	if crc32.Checksum(sums, castagnoli) != binary.BigEndian.Uint32(head[52:]) {
		return nil, fmt.Errorf("%w: the sums of its chunks do not match theirs", ErrCorrupt)
	}
	return sums, nil
}
