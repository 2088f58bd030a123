package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
)

// specs are specifications of each kind, with all that one can have.
func specs() []Spec {
	at := id.Addr{Node: "node", Proc: 7}
	ref := codec.Ref{ID: id.Object{1}, Owner: at, Size: 1 << 40, Hash: 3, Attempt: 2, Hints: []id.Node{"a", "b", "c"}}
	full := Spec{Kind: KindCall, Job: id.Job{1}, Task: id.Task{2}, Attempt: 3, Hops: 4, Epoch: 5, Owner: at, Func: "f", Args: []Arg{{Value: []byte("v")}, {Ref: &ref}, {List: []codec.Ref{ref, ref}, IsList: true}},
		Lo: 1, Hi: 2, CPU: 500, Resources: map[string]float64{"gpu": 0.5}, Left: time.Second, Bound: Bound{At: at, Num: 9}, Line: []id.Task{{1}, {2}}, Retries: 1, Priority: -3, OwnProcess: true, OnNode: "n", Soft: true,
		Labels: map[string]string{"zone": "a"}, Timeout: time.Minute, Stream: 16, Spread: true, Trace: [16]byte{1},
		Actor: id.Actor{1}, Session: 2, Incarnation: 3, Seq: 4, Acked: 5}
	return []Spec{{Kind: KindTask}, {Kind: KindCreate, Func: "make", Actor: id.Actor{1}}, full}
}

// FuzzSpec gives ParseSpec any bytes: it refuses them, or what it read is within the limits and reads the same once it was
// written again.
func FuzzSpec(f *testing.F) {
	for _, s := range specs() {
		f.Add(s.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSpec(b)
		if err != nil {
			return
		}
		if len(s.Args) > MaxArgs || len(s.Resources) > MaxResources || len(s.Labels) > MaxResources || len(s.Func) > MaxString {
			t.Fatalf("beyond the limits: %+v", s)
		}
		for _, v := range s.Resources {
			if v != v {
				return // is not equal to itself
			}
		}
		again, err := ParseSpec(s.Append(nil))
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%+v was read, %+v once it was written again: %v", s, again, err)
		}
	})
}

// FuzzFrame gives ParseFrame any bytes, and then its body to the decoders of all messages.
func FuzzFrame(f *testing.F) {
	at := id.Addr{Node: "node", Proc: 7}
	for k := KRun; k < kindEnd; k++ {
		f.Add((&Frame{Kind: k, Flags: FlagReply, Epoch: 1, Left: time.Second, From: at, To: at, Req: 3, Body: Marshal(&IDs{IDs: []id.Object{{1}}, Owner: at})}).Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseFrame(b)
		if err != nil {
			return
		}
		if len(m.Body) > MaxBody || len(m.From.Node) > MaxString || len(m.To.Node) > MaxString {
			t.Fatalf("beyond the limits: %+v", m)
		}
		again, err := ParseFrame(m.Append(nil))
		if err != nil || !bytes.Equal(m.Body, again.Body) {
			t.Fatalf("%+v was read, %+v once it was written again: %v", m, again, err)
		}
		if m.Body, again.Body = nil, nil; !reflect.DeepEqual(m, again) {
			t.Fatalf("%+v was read, %+v once it was written again", m, again)
		}
	})
}

// TestLimitsBeforeAllocation has short messages claim long lists, strings and values: they are refused, and next to nothing
// was allocated for them.
func TestLimitsBeforeAllocation(t *testing.T) {
	last := specs()[2]
	last.Args = []Arg{{IsList: true}}
	good := last.Append(nil)
	list := good[: len(good)-1 : len(good)-1] // without its length
	last.Args = nil
	none := last.Append(nil)
	args := none[: len(none)-1 : len(none)-1]
	frame := (&Frame{Kind: KRun}).Append(nil)
	lies := map[string][]byte{
		"a list of references":        binary.AppendUvarint(list, MaxList),
		"a list beyond the limit":     binary.AppendUvarint(list, 1<<62),
		"arguments":                   binary.AppendUvarint(args, MaxArgs),
		"arguments beyond the limit":  binary.AppendUvarint(args, 1<<62),
		"a value":                     binary.AppendUvarint(append(binary.AppendUvarint(args, 1), argValue), MaxBody),
		"a value beyond the limit":    binary.AppendUvarint(append(binary.AppendUvarint(args, 1), argValue), 1<<62),
		"a frame from a long name":    append(frame[:5:5], 0xff, 0x1f),
		"a frame from a name too far": append(frame[:5:5], 0xff, 0xff, 0xff, 0xff, 0x7f),
	}
	const times, most = 100, 64 << 10
	for name, b := range lies {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range times {
			_, err := ParseSpec(b)
			if name[:7] == "a frame" {
				_, err = ParseFrame(b)
			}
			if err == nil {
				t.Fatalf("%s: taken", name)
			}
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / times; got > most {
			t.Errorf("%s: %d bytes of memory for %d that came", name, got, len(b))
		}
	}
}

// FuzzGroup gives the decoder of questions about placement groups any bytes: what Check lets pass is within the limits, sums of
// it are numbers, and it reads the same once it was written again.
func FuzzGroup(f *testing.F) {
	at := id.Addr{Node: "node", Proc: 7}
	f.Add(Marshal(&Group{Op: GroupMake, Group: id.Group{1}, Job: id.Job{2}, Owner: at, Strategy: GroupSpread, Bundles: []map[string]float64{{CPUName: 1.5, "gpu": 1}, {"memory": 1 << 40}}}))
	f.Add(Marshal(&Group{Op: GroupMake, Group: id.Group{1}, Bundles: []map[string]float64{{"gpu": math.NaN()}, {"": math.Inf(1)}, {"gpu": -1}}}))
	f.Add(Marshal(&Group{Op: GroupRemove, Group: id.Group{1}, Job: id.Job{2}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var g Group
		if Unmarshal(b, &g) != nil || g.Check() != nil {
			return
		}
		sum := int64(0)
		if len(g.Bundles) > MaxBundles || g.Op == GroupMake && len(g.Bundles) == 0 {
			t.Fatalf("%d bundles", len(g.Bundles))
		}
		for _, x := range g.Bundles {
			if len(x) == 0 || len(x) > MaxResources {
				t.Fatalf("a bundle of %d resources", len(x))
			}
			for k, v := range x {
				if k == "" || !(v > 0) {
					t.Fatalf("%q: %v", k, v)
				}
				if sum += int64(v * 1e6); sum < 0 {
					t.Fatalf("the millionths of %+v are too many", g.Bundles)
				}
			}
		}
		var again Group
		if err := Unmarshal(Marshal(&g), &again); err != nil || !reflect.DeepEqual(g, again) {
			t.Fatalf("%+v was read, %+v once it was written again: %v", g, again, err)
		}
	})
}

// TestGroupLimits has short questions about groups claim long lists and names: they are refused before memory is taken for them.
func TestGroupLimits(t *testing.T) {
	good := Marshal(&Group{Op: GroupMake, Group: id.Group{1}, Bundles: []map[string]float64{{"gpu": 1}}})
	i := bytes.Index(good, []byte{0x81, 0xa1}) // a list of one, a map of one pair
	if i < 0 {
		t.Fatalf("%x", good)
	}
	for name, claim := range map[string][]byte{
		"bundles":   {0x9b, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff},
		"resources": {0x81, 0xbb, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff},
		"a name":    {0x81, 0xa1, 0x7b, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff},
	} {
		b := append(good[:i:i], claim...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			if Unmarshal(b, new(Group)) == nil {
				t.Fatalf("%s: taken", name)
			}
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / 100; got > 64<<10 {
			t.Errorf("%s: %d bytes of memory for %d that came", name, got, len(b))
		}
	}
}
