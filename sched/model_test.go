package sched

import (
	"testing"
)

// The protocol of submitting and parking (see doc.go) as a machine: one submitter and two executors, each of whose reads
// and writes of a shared word is one step. TestEveryInterleaving goes through all orders of their steps.

const (
	exSearch = iota // counted in searching, looks at the queue
	exFound         // took a task; leaves searching
	exSend          // was the last searcher: sends another
	exRun
	exRest  // E1
	exClaim // E2: the watcher's place
	exEnter // E2: idleQ
	exWatch // E3
	exLeave // E4
	exLook  // E5
	exSleep // E6
	exToken // somebody took it out of idleQ: its wake-up is on the way
)

type model struct {
	queue, searching int8
	watching         bool
	ex               [2]int8
	watcher, idle    [2]bool
	token            [2]bool
	sub              int8 // step of the submitter
	left, seen       int8 // submissions to come; queue's length after the push

	noLook bool // leave E5 out
}

func (m *model) wakeOne() {
	for i := range m.idle {
		if m.idle[i] {
			m.idle[i], m.token[i] = false, true
			m.searching++
			return
		}
	}
}

// submit does the submitter's next step; false where it has none.
func (m *model) submit() bool {
	switch m.sub {
	case 0: // S1
		if m.left == 0 {
			return false
		}
		m.left--
		m.queue++
		m.seen, m.sub = m.queue, 1
	case 1: // S2
		m.sub = 0
		if m.idle[0] || m.idle[1] {
			m.sub = 2
		}
	case 2:
		m.sub = 0
		if m.searching == 0 {
			m.sub = 3
		}
	case 3:
		m.sub = 0
		if m.seen > 1 || !m.watching {
			m.sub = 4
		}
	case 4: // S3: kick looks at searching once more
		m.sub = 0
		if m.searching == 0 {
			m.wakeOne()
		}
	}
	return true
}

// unrest leaves idleQ, or waits for the wake-up of who took it out.
func (m *model) unrest(i int) {
	if m.idle[i] {
		m.idle[i] = false
		m.searching++
		m.ex[i] = exSearch
		return
	}
	m.ex[i] = exToken
}

// execute does executor i's next step, one of two where chance decides; false where it has none.
func (m *model) execute(i int, chance bool) bool {
	switch m.ex[i] {
	case exSearch:
		if m.queue > 0 {
			m.queue--
			m.ex[i] = exFound
		} else {
			m.ex[i] = exRest
		}
	case exFound:
		m.searching--
		m.ex[i] = exRun
		if m.searching == 0 {
			m.ex[i] = exSend
		}
	case exSend:
		if (m.idle[0] || m.idle[1]) && m.queue > 0 && m.searching == 0 {
			m.wakeOne()
		}
		m.ex[i] = exRun
	case exRun:
		m.searching++
		m.ex[i] = exSearch
	case exRest:
		m.searching--
		m.ex[i] = exClaim
	case exClaim:
		m.watcher[i] = !m.watching
		m.watching = true
		m.ex[i] = exEnter
	case exEnter:
		m.idle[i] = true
		m.ex[i] = exLook
		if m.watcher[i] {
			m.ex[i] = exWatch
		}
	case exWatch: // chance: it looks for the last time
		if m.token[i] || chance {
			m.ex[i] = exLeave
		} else {
			return false
		}
	case exLeave:
		m.watching, m.watcher[i] = false, false
		m.ex[i] = exLook
	case exLook:
		if m.queue > 0 && !m.noLook {
			m.unrest(i)
		} else {
			m.ex[i] = exSleep
		}
	case exSleep, exToken:
		if !m.token[i] {
			return false
		}
		m.token[i] = false
		m.ex[i] = exSearch
	}
	return true
}

// stuck explores all that may come of m and gives the first state in which tasks wait and everybody sleeps.
func stuck(m model, seen map[model]bool) *model {
	if seen[m] {
		return nil
	}
	seen[m] = true
	moved := false
	try := func(step func(*model) bool) *model {
		n := m
		if !step(&n) {
			return nil
		}
		moved = true
		return stuck(n, seen)
	}
	bad := try((*model).submit)
	for i := range m.ex {
		for _, chance := range []bool{false, true} {
			if bad == nil {
				bad = try(func(n *model) bool { return n.execute(i, chance) })
			}
		}
	}
	if bad == nil && !moved && m.queue > 0 {
		return &m
	}
	return bad
}

func TestEveryInterleaving(t *testing.T) {
	for left := int8(1); left <= 4; left++ {
		seen := map[model]bool{}
		if bad := stuck(model{searching: 2, left: left}, seen); bad != nil {
			t.Fatalf("%d submissions: a task waits and everybody sleeps: %+v", left, *bad)
		}
		t.Log(left, "submissions:", len(seen), "states")
	}
	if stuck(model{searching: 2, left: 2, noLook: true}, map[model]bool{}) == nil {
		t.Error("without the safe step no wake-up is lost: the model says nothing")
	}
}
