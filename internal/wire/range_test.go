package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// rangeOf is a range of calls with these arguments.
func rangeOf(c Call, args ...string) []byte {
	b := c.AppendRange(nil)
	for _, a := range args {
		at := len(b)
		b = append(OpenPiece(b), a...)
		if !ClosePiece(b, at) {
			panic("a piece is too long")
		}
	}
	return b
}

func TestRangeFrames(t *testing.T) {
	want := []string{"a", "", strings.Repeat("b", 1<<16-1)}
	c := Call{Slot: 5, Func: 6, Num: 7, CPU: 2000, Left: time.Second, Bound: 8}
	b := rangeOf(c, want...)
	got, rest, err := ParseRange(b)
	if err != nil || got != c || !IsShort(b) {
		t.Fatal(got, err)
	}
	for _, w := range want {
		var args []byte
		if args, rest, err = ParsePiece(rest); err != nil || string(args) != w {
			t.Fatalf("%d bytes, not %d: %v", len(args), len(w), err)
		}
	}
	if len(rest) != 0 {
		t.Errorf("%d bytes are left", len(rest))
	}
	if ClosePiece(make([]byte, 1<<16+pieceRoom), 0) {
		t.Error("a piece of 64 KiB")
	}
	if _, _, err := ParsePiece([]byte{9, 0, 1}); !errors.Is(err, ErrShort) {
		t.Error(err)
	}

	ends := []Ended{{Bare: true}, {Error: true, Named: true}, {Took: time.Minute}}
	b = AppendDones(nil, 9)
	for i, d := range ends {
		b = d.AppendPiece(b, uint32(i), []byte(want[i]))
	}
	slot, rest, err := ParseDones(b)
	if slot != 9 || err != nil || !IsShort(b) {
		t.Fatal(slot, err)
	}
	for i, d := range ends {
		var index uint32
		var end Ended
		var result []byte
		if index, end, result, rest, err = ParsePieceEnd(rest); err != nil || int(index) != i || end != d || string(result) != want[i] {
			t.Fatal(index, end, len(result), err)
		}
	}
	if _, _, _, _, err := ParsePieceEnd((&Ended{}).AppendPiece(nil, MaxRange, nil)); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
}

func fuzzRange(t *testing.T, b []byte) {
	c, rest, err := ParseRange(b)
	if err != nil {
		return
	}
	again, n := c.AppendRange(nil), len(rest)
	for len(rest) > 0 {
		var args []byte
		if args, rest, err = ParsePiece(rest); err != nil {
			return
		}
		at := len(again)
		if again = append(OpenPiece(again), args...); !ClosePiece(again, at) {
			t.Fatal("a piece that was parsed is too long")
		}
	}
	if c2, rest2, err := ParseRange(again); err != nil || c2 != c || !bytes.Equal(rest2, b[len(b)-n:]) {
		t.Fatal(c, c2, err)
	}
}

func fuzzDones(t *testing.T, b []byte) {
	slot, rest, err := ParseDones(b)
	for err == nil && len(rest) > 0 {
		var index uint32
		var d Ended
		var result []byte
		if index, d, result, rest, err = ParsePieceEnd(rest); err != nil {
			return
		}
		index2, d2, result2, rest2, err := ParsePieceEnd(d.AppendPiece(nil, index, result))
		if err != nil || index2 != index || d2 != d || !bytes.Equal(result2, result) || len(rest2) != 0 {
			t.Fatal(slot, index, d, index2, d2, err)
		}
	}
}
