package wire

import (
	"errors"
	"reflect"
	"testing"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
)

func single(n uint64, arg string) Spec {
	return Spec{Kind: KindTask, Task: id.TaskOf(3, n), Func: "f", CPU: 1000, Retries: 3, Hops: 1, Args: []Arg{{Value: []byte(arg)}, {Ref: &codec.Ref{Size: n}}}}
}

// TestJoin makes ranges and takes them apart again.
func TestJoin(t *testing.T) {
	var specs []Spec
	for n := uint64(1); n <= 3000; n++ {
		s := single(n, string(rune('a'+n%26)))
		switch {
		case n == 100: // numbers with a gap
			continue
		case n > 200 && n <= 300:
			s.Func = "g"
		case n == 400:
			s.OwnProcess = true
		case n > 500 && n <= 600:
			s.Attempt = 1
		}
		specs = append(specs, s)
	}
	var got []Spec
	var ranges []Spec
	for i := range specs {
		if n := len(ranges); n == 0 || !ranges[n-1].Join(&specs[i]) {
			ranges = append(ranges, specs[i])
		}
	}
	for i := range ranges {
		s, err := ParseSpec(ranges[i].Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Count() {
			one := s.Piece(i)
			again, err := ParseSpec(one.Append(nil))
			if err != nil || again.Count() != 1 {
				t.Fatal(again.Count(), err)
			}
			got = append(got, again)
		}
	}
	if len(ranges) > 12 || len(got) != len(specs) {
		t.Fatalf("%d specifications were %d joined, of %d tasks", len(specs), len(ranges), len(got))
	}
	for i := range specs {
		if !reflect.DeepEqual(got[i], specs[i]) {
			t.Fatalf("task %d:\n%+v, not\n%+v", i, got[i], specs[i])
		}
	}
	a, b := single(1, "a"), single(2, string(make([]byte, rangeArg)))
	if a.Join(&b) {
		t.Error("a range of large arguments")
	}
}

func TestBadRanges(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"too many":        func(s *Spec) { s.Hi = MaxRange + 1 },
		"backwards":       func(s *Spec) { s.Lo, s.Hi = 5, 3 },
		"uneven":          func(s *Spec) { s.Hi = 2; s.Args = s.Args[:1] },
		"an actor":        func(s *Spec) { s.Hi, s.Kind = 2, KindCreate },
		"too many a task": func(s *Spec) { s.Hi, s.Args = 1, make([]Arg, MaxArgs+1) },
	} {
		s := single(1, "a")
		change(&s)
		if _, err := ParseSpec(s.Append(nil)); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
