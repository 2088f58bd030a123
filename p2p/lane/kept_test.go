package lane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// end is one side of a bond in a simulated world: what it keeps, and how many frames it has got.
type end struct {
	kept kept
	got  uint64
	open bool   // on this lane
	wire []byte // written by this side on this lane and not read by the other
	took []byte // what the writer holds outside of the lock
	n    uint64 // frames given to Send
}

// size is that of frame n; the other side can tell.
func size(n uint64) int {
	switch {
	case n%997 == 0:
		return 200 << 10
	case n%10 == 0:
		return 9 << 10
	}
	return 8 + int(n*7%90)
}

func (e *end) tell() {
	e.wire = appendFrame(e.wire, FrameConfirm, nil, binary.BigEndian.AppendUint64(nil, e.got))
}

// hear reads whole frames of the other side's wire.
func (e *end) hear(from *end, most int) error {
	for range most {
		k, p, need, err := parseFrame(from.wire)
		if err != nil || len(from.wire) < need || need == frameHead && p == nil {
			return err
		}
		from.wire = from.wire[need:]
		if k == FrameConfirm {
			n := binary.BigEndian.Uint64(p)
			if !e.open {
				e.open = true
				err = e.kept.resume(n)
			} else {
				err = e.kept.confirm(n)
			}
			if err != nil {
				return err
			}
			continue
		}
		e.got++
		if n := binary.BigEndian.Uint64(p); n != e.got || len(p) != size(n) {
			return fmt.Errorf("frame %d of %d bytes came as number %d", n, len(p), e.got)
		}
	}
	return nil
}

// TestKeptAcrossLanes breaks lanes at any point, also in a frame and in a write.
func TestKeptAcrossLanes(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 3))
		var e [2]end
		lane := func() {
			for i := range e {
				e[i].open, e[i].wire, e[i].took = false, nil, nil
				e[i].tell()
			}
		}
		lane()
		lanes, refused := 1, 0
		const frames = 4000
		done := func() bool {
			return e[0].got == frames && e[1].got == frames && e[0].kept.bytes+e[1].kept.bytes == 0
		}
		for step := 0; !done(); step++ {
			if step > 1e6 {
				t.Fatalf("seed %d: stuck: %d and %d came", seed, e[0].got, e[1].got)
			}
			i := r.IntN(2)
			x, y := &e[i], &e[1-i]
			switch r.IntN(12) {
			case 0, 1, 2:
				for range r.IntN(50) {
					if x.n == frames {
						break
					}
					p := make([]byte, size(x.n+1))
					binary.BigEndian.PutUint64(p, x.n+1)
					err := x.kept.add(FrameUser, p)
					if errors.Is(err, ErrFull) {
						refused++
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					x.n++
				}
			case 3, 4, 5: // the writer takes, and in between other things happen
				if x.open && x.took == nil {
					x.took = x.kept.next()
				}
			case 6, 7, 8:
				if len(x.took) > 0 {
					if b := x.kept.next(); !bytes.HasPrefix(b, x.took) {
						t.Fatalf("seed %d: what the writer holds has changed", seed)
					}
					x.wire = append(x.wire, x.took...)
					x.kept.wrote(len(x.took))
				}
				x.took = nil
			case 9, 10:
				if err := x.hear(y, r.IntN(60)); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if r.IntN(3) == 0 {
					x.tell()
				}
			case 11:
				if r.IntN(8) != 0 {
					continue
				}
				// What was written and not read is lost, except what the readers still take; a write under
				// way may have come through in part.
				for j := range e {
					if len(e[j].took) > 0 && e[j].open {
						e[j].wire = append(e[j].wire, e[j].took[:r.IntN(len(e[j].took)+1)]...)
						if r.IntN(2) == 0 {
							e[j].kept.wrote(len(e[j].took))
						}
					}
				}
				for j := range e {
					if err := e[j].hear(&e[1-j], r.IntN(20)); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
				}
				lane()
				lanes++
			}
			for j := range e {
				check(t, &e[j].kept)
			}
		}
		if lanes < 3 {
			t.Errorf("seed %d: only %d lanes", seed, lanes)
		}
	}
}

// check looks at what must hold between steps.
func check(t *testing.T, k *kept) {
	t.Helper()
	sum := 0
	for _, s := range k.segs {
		sum += len(s.b)
	}
	if sum != k.bytes || k.bytes > maxKept || len(k.spare) > maxSpare || k.confirmed > k.sent ||
		len(k.segs) > 0 && (k.at >= len(k.segs) || k.off > len(k.segs[k.at].b)) {
		t.Fatalf("%d bytes of %d, writer at %d+%d of %d segments, %d confirmed of %d", sum, k.bytes, k.at, k.off, len(k.segs), k.confirmed, k.sent)
	}
}

func TestKeptIsBounded(t *testing.T) {
	var k kept
	p := make([]byte, 100<<10)
	n := uint64(0)
	for ; k.add(FrameUser, p) == nil; n++ {
		k.wrote(len(k.next()))
	}
	if k.bytes > maxKept || k.bytes < maxKept-len(p)-frameHead {
		t.Errorf("refused at %d bytes", k.bytes)
	}
	if err := k.confirm(n + 1); !errors.Is(err, ErrFrame) {
		t.Errorf("more confirmed than sent: %v", err)
	}
	if err := k.confirm(n / 2); err != nil || k.add(FrameUser, p) != nil {
		t.Errorf("after a confirmation: %v", err)
	}
	if err := k.confirm(n/2 - 1); !errors.Is(err, ErrFrame) {
		t.Errorf("a confirmation taken back: %v", err)
	}
	if err := k.resume(n/2 - 1); !errors.Is(err, ErrFrame) {
		t.Errorf("the same on a new lane: %v", err)
	}
	if err := k.resume(n + 1); err != nil || k.bytes != 0 || len(k.spare) > 1 {
		t.Errorf("%d bytes are left, %v", k.bytes, err)
	}
}

// A peer that confirms what it cannot have gets nothing out of it.
func FuzzKept(f *testing.F) {
	f.Add([]byte{0, 9, 1, 2, 200, 3, 4, 5, 1, 0, 0, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		var k kept
		for ops := range slices.Chunk(b, 2) {
			v := int(ops[len(ops)-1])
			switch ops[0] % 5 {
			case 0:
				k.add(FrameUser, make([]byte, v*v))
			case 1:
				k.wrote(len(k.next()))
			case 2:
				k.wrote(min(v, len(k.next())))
			case 3:
				k.confirm(k.confirmed + uint64(v) - 1)
			case 4:
				k.resume(k.confirmed + uint64(v) - 1)
			}
			check(t, &k)
		}
	})
}
