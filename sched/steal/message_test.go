package steal

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

var samples = []Msg{
	{Kind: Steal, Epoch: 1, To: 2, Seq: 3, Life: true, Free: 2000, Apps: []string{"a", strings.Repeat("b", MaxApp)}},
	{Kind: Steal, Epoch: 1<<64 - 1, Seq: 1 << 63},
	{Kind: Grant, Epoch: 1, To: 2, Seq: 3, Tasks: []Task{[]byte("x"), {}, []byte("yz")}},
	{Kind: Grant, Tasks: []Task{make(Task, MaxBytes)}},
	{Kind: Deny, Seq: 9, Load: 1<<32 - 1},
	{Kind: Ack, Seq: 9},
}

func TestMessages(t *testing.T) {
	for _, m := range samples {
		b := m.Append(nil)
		if len(b) >= 1<<20-4096 {
			t.Error(len(b), "bytes are no frame")
		}
		got, err := Parse(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%v: %v", m.Kind, err)
		}
		for i := range min(len(b), 40) {
			if _, err := Parse(b[:i]); !errors.Is(err, ErrMessage) {
				t.Fatalf("%v cut at %d: %v", m.Kind, i, err)
			}
		}
	}
	full := Msg{Kind: Grant, Tasks: make([]Task, MaxTasks)}
	if m, err := Parse(full.Append(nil)); err != nil || len(m.Tasks) != MaxTasks {
		t.Fatal(err)
	}
	for _, tooMuch := range []Msg{
		{Kind: Grant, Tasks: make([]Task, MaxTasks+1)},
		{Kind: Grant, Tasks: []Task{make(Task, MaxBytes), {1}}},
		{Kind: Steal, Apps: make([]string, MaxApps+1)},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("encoded", tooMuch.Kind)
				}
			}()
			tooMuch.Append(nil)
		}()
	}
}

func FuzzParse(f *testing.F) {
	for i, m := range samples {
		if i != 3 { // too large for a corpus
			f.Add(m.Append(nil))
		}
	}
	f.Add([]byte{version, byte(Grant), 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(m.Append(nil))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatal(m, again, err)
		}
	})
}
