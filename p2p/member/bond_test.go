package member

import (
	"math/rand/v2"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

// shell is what package p2p would hold for one machine of two.
type shell struct {
	t    *testing.T
	m    *Machine
	peer id.Node
	lane uint64 // in use
	bond uint64
	up   bool
	ups  int
	down int
}

func (s *shell) step(now int64, ev Event) (accepted bool) {
	s.t.Helper()
	for _, a := range s.m.Step(ev, now) {
		switch a := a.(type) {
		case Accept:
			if s.lane = a.Lane; a.Fresh {
				s.bond = a.Lane
			}
			if s.bond == 0 {
				s.t.Fatal("a lane goes on with no bond")
			}
			accepted = true
		case Cut:
			s.lane = 0
		case Tell:
			switch {
			case a.Kind == Up && !s.up:
				s.up = true
				s.ups++
			case a.Kind == Down && s.up:
				s.up, s.bond = false, 0
				s.down++
			case a.Kind != Changed:
				s.t.Fatalf("kind %d told while up is %v", a.Kind, s.up)
			}
		}
	}
	if _, bond := s.m.Greeting(s.peer); bond != s.bond {
		s.t.Fatalf("the machine's bond is %d, the shell's %d", bond, s.bond)
	}
	return accepted
}

func (s *shell) offer(now int64, lane uint64, theirs, ours [2]uint64) bool {
	return s.step(now, Offer{ID: s.peer, Epoch: 1, Lane: lane, Last: theirs[0], Bond: theirs[1], Said: ours[1], Found: FoundMember})
}

func (s *shell) hello() (h [2]uint64) {
	h[0], h[1] = s.m.Greeting(s.peer)
	return h
}

// shake is a handshake under way. hellos are those of the side that decides and of the other.
type shake struct {
	lane   uint64
	said   [2]bool
	hellos [2][2]uint64
	yes    bool
}

// TestBondsAgree lets handshakes overlap, break at any step and be crossed by verdicts: two nodes that use one
// lane have one bond, and without verdicts the bond lasts.
func TestBondsAgree(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		verdicts := seed%2 == 0
		s := [2]*shell{{t: t, m: New("a", 1, nil, nil), peer: "b"}, {t: t, m: New("b", 1, nil, nil), peer: "a"}}
		now, lanes, resumed := sec, uint64(0), 0
		var met uint64 // the first bond that both had
		downs := [2]int{}
		var shakes []*shake
		for range 3000 {
			now++
			switch r.IntN(8) {
			case 0:
				if len(shakes) < 4 {
					lanes++
					shakes = append(shakes, &shake{lane: lanes})
				}
			case 1, 2, 3, 4: // a handshake goes on
				if len(shakes) == 0 {
					continue
				}
				i := r.IntN(len(shakes))
				h, drop := shakes[i], false
				switch j := r.IntN(2); {
				case !h.said[j]:
					h.said[j], h.hellos[j] = true, s[j].hello()
				case !h.said[1-j]:
				case !h.yes:
					h.yes = s[0].offer(now, h.lane, h.hellos[1], h.hellos[0])
					drop = !h.yes
				default:
					before := s[1].bond
					drop = true
					switch {
					case !s[1].offer(now, h.lane, h.hellos[0], h.hellos[1]): // the lane is closed; a hears later
					case s[0].lane == h.lane && s[0].bond != s[1].bond:
						t.Fatalf("seed %d: on lane %d the bonds are %d and %d", seed, h.lane, s[0].bond, s[1].bond)
					case s[0].lane == h.lane:
						if before == s[1].bond {
							resumed++
						}
					}
				}
				if drop {
					shakes = append(shakes[:i], shakes[i+1:]...)
				}
			case 5: // one that is under way breaks
				if len(shakes) > 0 {
					shakes = shakes[1:]
				}
			case 6: // a lane breaks, or what is left of it is noticed
				x, y := s[r.IntN(2)], s[1]
				if x == y {
					y = s[0]
				}
				if x.lane != 0 && (x.lane != y.lane || r.IntN(4) == 0) {
					l := x.lane
					x.lane = 0
					x.step(now, Lost{x.peer, l, "broken"})
				}
			case 7: // a verdict
				if x := s[r.IntN(2)]; verdicts && r.IntN(4) == 0 && x.lane == 0 {
					x.step(now, Dialed{ID: x.peer, Refused: true})
				}
			}
			if met == 0 && s[0].bond != 0 && s[0].bond == s[1].bond { // hellos from before it may still end it
				shakes, met, downs = nil, s[0].bond, [2]int{s[0].down, s[1].down}
			}
			if !verdicts && met != 0 && downs != [2]int{s[0].down, s[1].down} {
				t.Fatalf("seed %d: the bond ended without a verdict", seed)
			}
		}
		if s[0].ups == 0 || s[1].ups == 0 || resumed == 0 {
			t.Errorf("seed %d: %d and %d ups, %d lanes went on", seed, s[0].ups, s[1].ups, resumed)
		}
		if verdicts && s[1].down == 0 {
			t.Errorf("seed %d: no bond ended", seed)
		}
	}
}
