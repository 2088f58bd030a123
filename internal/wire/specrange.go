package wire

import (
	"fmt"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// A specification may be of a range: tasks that follow each other by their IDs and differ in their arguments alone. Task is
// the first one; Args has the arguments of one after the other. It is taken apart where the tasks run, and what is taken
// further from there is joined again.

const (
	// rangeTasks bounds the tasks of a range that Join makes.
	rangeTasks = 1024
	// rangeArg bounds about how many bytes the arguments of each take.
	rangeArg = 256
)

// Count is how many tasks s is of.
func (s *Spec) Count() int { return max(1, int(s.Hi)-int(s.Lo)) }

// Piece is task i of a range as a specification of its own, which shares the arguments.
func (s *Spec) Piece(i int) Spec {
	n := s.Count()
	if n == 1 {
		return *s
	}
	p, each := *s, len(s.Args)/n
	p.Lo, p.Hi = 0, 0
	p.Task = s.Task.Plus(uint64(i))
	p.Args = s.Args[i*each : (i+1)*each : (i+1)*each]
	return p
}

// weight is about how many bytes arguments take.
func weight(args []Arg) (n int) {
	for i := range args {
		n += len(args[i].Value) + 16
		if args[i].Ref != nil {
			n += 2 * refSize
		}
		n += 2 * refSize * len(args[i].List)
	}
	return n
}

// Weight is about how long the encoding of s is.
func (s *Spec) Weight() int { return weight(s.Args) + HeadWeight + len(s.Line)*len(id.Task{}) }

// HeadWeight is that without arguments.
const HeadWeight = 256

// Join makes s a range that t is the last of; false where more of the two differs than their places and arguments, or it
// would be too much.
func (s *Spec) Join(t *Spec) bool {
	n := s.Count()
	if n >= rangeTasks || weight(t.Args) > rangeArg || t.Count() != 1 || s.Task.Plus(uint64(n)) != t.Task || s.Task.Num() > t.Task.Num() {
		return false
	}
	if s.Kind != KindTask || s.Attempt != t.Attempt || s.Hops != t.Hops || s.Epoch != t.Epoch || s.Owner != t.Owner || s.Job != t.Job || s.Func != t.Func ||
		s.Kind != t.Kind || s.CPU != t.CPU || s.Bound != t.Bound || !slices.Equal(s.Line, t.Line) || s.Retries != t.Retries || s.Priority != t.Priority || s.Timeout != t.Timeout ||
		s.Trace != t.Trace || (s.Left == 0) != (t.Left == 0) || len(s.Args) != n*len(t.Args) {
		return false
	}
	if s.Placed() || t.Placed() || s.Soft || t.Soft || s.Stream > 0 || t.Stream > 0 {
		return false
	}
	s.Left = min(s.Left, t.Left)
	s.Lo, s.Hi = 0, uint32(n+1)
	if n == 1 {
		s.Args = slices.Clip(s.Args)
	}
	s.Args = append(s.Args, t.Args...)
	return true
}

// checkRange refuses what is no range and no single task.
func (s *Spec) checkRange() error {
	switch n := s.Count(); {
	case s.Lo == 0 && s.Hi == 0:
		return nil
	case s.Hi <= s.Lo || s.Hi-s.Lo > MaxRange || s.Kind != KindTask || len(s.Args)%n != 0 || len(s.Args)/n > MaxArgs:
		return fmt.Errorf("wire: task specification: %d arguments of tasks %d to %d: %w", len(s.Args), s.Lo, s.Hi, ErrLimit)
	}
	return nil
}
