package wire

import "time"

const (
	// switched is how long a yield takes at least that gave the CPU away.
	switched = time.Microsecond
	// sharedMost is after how many frames in a row, each of which came while the CPU was given away, one goes to another CPU.
	sharedMost = 4
	// asideLeast and asideMost are what lies between two such moves: the longer the oftener it was in vain.
	asideLeast = time.Millisecond
	asideMost  = time.Second
)

// aside sees that the process whose frames one looks for runs on the same CPU though another one is idle, and when to go to
// that. The kernel may wake a process on the CPU of who wakes it though another one is idle (seen on virtual machines; that it
// takes a halted CPU for busy there is a guess), and leaves it there: it is hardly ever idle. A call between the two takes 11 to 18 us then, two
// switches and a yield, instead of 1.
type aside struct {
	shared int       // frames in a row for which the CPU was given away
	moved  time.Time // when it went last
	pause  time.Duration
}

// came notes a frame; gave says that it came while the CPU was given away.
func (s *aside) came(gave bool) {
	if s.shared++; !gave {
		s.shared = 0
	}
}

// due says whether to go to another CPU now.
func (s *aside) due(now time.Time) bool {
	if s.shared < sharedMost {
		return false
	}
	s.shared = 0
	since := now.Sub(s.moved)
	switch {
	case since < s.pause:
		return false
	case since < 8*s.pause:
		s.pause = min(2*s.pause, asideMost)
	default:
		s.pause = asideLeast
	}
	s.moved = now
	return true
}
