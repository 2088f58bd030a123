package lane

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Limits of bulk lanes.
const (
	MaxRequest  = 64 << 10
	MaxBulkMeta = 1 << 20
	MaxBulkData = 1 << 40
	maxBulkErr  = 4 << 10
	bulkPiece   = 1 << 20          // bytes between two looks at the clock
	stallFor    = 15 * time.Second // an answer of which nothing moves for so long has failed
	idleFor     = 2 * time.Minute  // the server keeps an unused lane for so long
	answerHead  = 1 + 4 + 8        // status, length of meta, length of data
)

// RemoteError is what the serving node answered instead of data.
type RemoteError struct{ Text string }

func (e *RemoteError) Error() string { return "lane: the peer answered: " + e.Text }

// ErrBulk says that a bulk lane carried nonsense.
var ErrBulk = errors.New("lane: malformed bulk message")

// Bulk is a bulk lane. It belongs to one goroutine at a time; Cut may be called by any.
type Bulk struct{ c *Conn }

// NewBulk makes a bulk lane of an agreed connection.
func NewBulk(c *Conn) *Bulk { return &Bulk{c} }

// Cut ends the lane.
func (b *Bulk) Cut() { b.c.Close() }

// Fetch sends a request and reads the answer's data straight into what land returns, which must have the
// length it was told. fresh says that nothing of an answer was read, so that another lane may be tried.
// After any error but a *RemoteError the lane is of no more use.
func (b *Bulk) Fetch(ctx context.Context, req []byte, land func(meta []byte, n int) ([]byte, error)) (meta []byte, n int, fresh bool, err error) {
	stop := context.AfterFunc(ctx, b.Cut)
	defer func() {
		if !stop() && err != nil {
			err = context.Cause(ctx)
		}
	}()
	b.c.raw.SetWriteDeadline(time.Now().Add(stallFor))
	m := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(req)), uint32(len(req))), req...)
	if _, err := b.c.rw.Write(m); err != nil {
		return nil, 0, true, fmt.Errorf("lane: sending a request: %w", err)
	}
	var h [answerHead]byte
	b.c.raw.SetReadDeadline(time.Time{}) // the server may take its time: ctx and the verdicts bound it
	if k, err := io.ReadFull(b.c.rw, h[:]); err != nil {
		return nil, 0, k == 0, fmt.Errorf("lane: waiting for an answer: %w", err)
	}
	status, nm, nd, err := parseAnswer(h)
	if err != nil {
		return nil, 0, false, err
	}
	b.c.raw.SetReadDeadline(time.Now().Add(stallFor))
	meta = make([]byte, nm)
	if _, err := io.ReadFull(b.c.rw, meta); err != nil {
		return nil, 0, false, fmt.Errorf("lane: reading an answer: %w", err)
	}
	if status != 0 {
		return nil, 0, false, &RemoteError{string(meta)}
	}
	dst, err := land(meta, nd)
	if err == nil && len(dst) != nd {
		err = fmt.Errorf("lane: place of %d bytes for %d", len(dst), nd)
	}
	if err != nil {
		b.Cut()
		return meta, nd, false, err
	}
	for p := dst; len(p) > 0; {
		k := min(len(p), bulkPiece)
		b.c.raw.SetReadDeadline(time.Now().Add(stallFor))
		if _, err := io.ReadFull(b.c.rw, p[:k]); err != nil {
			return meta, nd, false, fmt.Errorf("lane: reading data: %w", err)
		}
		p = p[k:]
	}
	return meta, nd, false, nil
}

// parseAnswer reads the head of an answer and checks its limits.
func parseAnswer(h [answerHead]byte) (status byte, meta, data int, err error) {
	nm, nd := binary.BigEndian.Uint32(h[1:]), binary.BigEndian.Uint64(h[5:])
	switch {
	case h[0] > 1:
		return 0, 0, 0, fmt.Errorf("%w: status %d", ErrBulk, h[0])
	case nm > MaxBulkMeta || nd > MaxBulkData:
		return 0, 0, 0, fmt.Errorf("%w: %d bytes of meta and %d of data", ErrBulk, nm, nd)
	case h[0] == 1 && (nm > maxBulkErr || nd != 0):
		return 0, 0, 0, fmt.Errorf("%w: error of %d bytes", ErrBulk, nm)
	}
	return h[0], int(nm), int(nd), nil
}

// Serve answers requests until the lane ends.
func (b *Bulk) Serve(answer func(req []byte) (meta, data []byte, release func(), err error), sent func(n int)) error {
	var req [MaxRequest]byte
	for {
		b.c.raw.SetReadDeadline(time.Now().Add(idleFor))
		var l [4]byte
		if _, err := io.ReadFull(b.c.rw, l[:]); err != nil {
			return fmt.Errorf("lane: waiting for a request: %w", err)
		}
		n := binary.BigEndian.Uint32(l[:])
		if n > MaxRequest {
			return fmt.Errorf("%w: request of %d bytes", ErrBulk, n)
		}
		if _, err := io.ReadFull(b.c.rw, req[:n]); err != nil {
			return fmt.Errorf("lane: reading a request: %w", err)
		}
		meta, data, release, err := answer(req[:n])
		if err == nil && (len(meta) > MaxBulkMeta || uint64(len(data)) > MaxBulkData) {
			err = fmt.Errorf("answer of %d and %d bytes is too big", len(meta), len(data))
		}
		if err != nil {
			s := err.Error()
			err = b.answer(1, []byte(s[:min(len(s), maxBulkErr)]), nil)
		} else {
			err = b.answer(0, meta, data)
		}
		if release != nil {
			release()
		}
		if err != nil {
			return err
		}
		sent(len(data))
	}
}

// answer writes straight from data; the cork is out after every piece.
func (b *Bulk) answer(status byte, meta, data []byte) error {
	h := append(make([]byte, 0, answerHead+len(meta)), status)
	h = binary.BigEndian.AppendUint32(h, uint32(len(meta)))
	h = binary.BigEndian.AppendUint64(h, uint64(len(data)))
	if b.c.Via != ViaUnix { // there are no records to gather, and gathering copies
		b.c.cork.In()
	}
	err := b.write(append(h, meta...))
	for len(data) > 0 && err == nil {
		k := min(len(data), bulkPiece)
		err = b.write(data[:k])
		data = data[k:]
	}
	if e := b.c.cork.Out(); err == nil {
		err = e
	}
	return err
}

func (b *Bulk) write(p []byte) error {
	b.c.raw.SetWriteDeadline(time.Now().Add(stallFor))
	if _, err := b.c.rw.Write(p); err != nil {
		return fmt.Errorf("lane: sending an answer: %w", err)
	}
	return nil
}
