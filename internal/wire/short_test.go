package wire

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

func TestShortFrames(t *testing.T) {
	for _, c := range []Call{{CPU: 1000}, {Slot: MaxSlots - 1, Func: MaxFuncs - 1, Num: math.MaxUint64, CPU: 0, Left: math.MaxInt64, Bound: math.MaxUint64}, {Slot: 3, CPU: 2500, Left: time.Second}} {
		b := append(c.Append(nil), "args"...)
		got, args, err := ParseCall(b)
		if err != nil || got != c || string(args) != "args" || !IsShort(b) {
			t.Error(got, args, err)
		}
	}
	for _, d := range []Ended{{}, {Slot: 9, Named: true, Bare: true, Error: true, Took: time.Hour}} {
		b := append(d.Append(nil), "result"...)
		got, result, err := ParseDone(b)
		if err != nil || got != d || string(result) != "result" || !IsShort(b) {
			t.Error(got, result, err)
		}
	}
	if n, s, err := ParseName(AppendName(nil, 7, "a.F")); n != 7 || s != "a.F" || err != nil {
		t.Error(n, s, err)
	}
	for _, index := range []int{Alone, 0, MaxRange - 1} {
		if n, i, err := ParseSlot(AppendSlot(nil, ShortAdopt, 700, index)); n != 700 || i != index || err != nil {
			t.Error(n, i, err)
		}
	}
	me, other := id.Addr{Node: "n", Proc: 1}, id.Addr{Node: "n", Proc: 2}
	for _, owner := range []id.Addr{me, other} {
		ref := AppendReady(nil, id.TaskOf(5, 6).Object(7), owner, me)
		b := append(append(AppendArg(nil, ArgRef, len(ref)), ref...), "rest"...)
		form, value, rest, err := ParseArg(b)
		if form != ArgRef || !bytes.Equal(value, ref) || string(rest) != "rest" || err != nil {
			t.Error(form, value, rest, err)
		}
		if i, o, err := ParseReady(value, me); i != id.TaskOf(5, 6).Object(7) || o != owner || err != nil {
			t.Error(i, o, err)
		}
	}
	if _, _, _, err := ParseArg(AppendArg(nil, ArgBare, 1)); !errors.Is(err, ErrShort) {
		t.Error(err)
	}
	f := Frame{Kind: KRun}
	if IsShort(f.Append(nil)) || IsShort(nil) {
		t.Error("a frame is no short one")
	}
	for _, b := range [][]byte{AppendSlot(nil, ShortCancel, MaxSlots, Alone), AppendSlot(nil, ShortCancel, 1, MaxRange), append(AppendSlot(nil, ShortCancel, 1, 2), 3)} {
		if _, _, err := ParseSlot(b); !errors.Is(err, ErrLimit) {
			t.Error(err)
		}
	}
	if _, _, err := ParseName(AppendName(nil, 1, string(make([]byte, MaxString+1)))); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
}

func FuzzShort(f *testing.F) {
	f.Add(append((&Call{Slot: 1, Left: 5}).Append(nil), 1, 2))
	f.Add(append((&Ended{Slot: 1, Took: 5}).Append(nil), 1, 2))
	f.Add(AppendName(nil, 1, "x"))
	f.Add(AppendSlot(nil, ShortAdopt, 1, Alone))
	f.Add(AppendSlot(nil, ShortCancel, 1, 5))
	f.Add(rangeOf(Call{Slot: 1, Num: 7}, "", "two"))
	f.Add((&Ended{Took: 5}).AppendPiece((&Ended{Error: true}).AppendPiece(AppendDones(nil, 3), 0, nil), 1, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !IsShort(b) {
			return
		}
		switch b[0] {
		case ShortCall:
			if c, args, err := ParseCall(b); err == nil {
				for rest, err := args, error(nil); err == nil && len(rest) > 0; {
					var value []byte
					if _, value, rest, err = ParseArg(rest); err == nil {
						ParseReady(value, id.Addr{})
					}
				}
				if c2, args2, err := ParseCall(append(c.Append(nil), args...)); err != nil || c != c2 || !bytes.Equal(args, args2) {
					t.Fatal(c, c2, err)
				}
			}
		case ShortDone:
			if d, r, err := ParseDone(b); err == nil {
				if d2, r2, err := ParseDone(append(d.Append(nil), r...)); err != nil || d != d2 || !bytes.Equal(r, r2) {
					t.Fatal(d, d2, err)
				}
			}
		case ShortRange:
			fuzzRange(t, b)
		case ShortDones:
			fuzzDones(t, b)
		case ShortName:
			ParseName(b)
		case ShortAdopt, ShortCancel, ShortCancelAll:
			ParseSlot(b)
		}
	})
}
