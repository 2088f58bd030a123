package proc

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kadrehq/kadre/objstore/arena"
)

// hungry is a process that could use any number of CPUs, at a clock that the test moves.
type hungry struct {
	cpus
	idle  int           // words that it does not want now
	until time.Duration // then it wants them again
	had   time.Duration // time of words, all together
}

// shareOf lets processes share words for a while and gives what each had of all, and how much nobody had.
func shareOf(t *testing.T, words int, parties []uint32, blocks float64, seed uint64) (had []float64, unused float64) {
	a, err := arena.Create(arena.Config{Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.SetCPUs(words * 1000); err != nil {
		t.Fatal(err)
	}
	now := time.Duration(1)
	all := make([]*hungry, len(parties))
	for i, party := range parties {
		slot, err := a.Admit(i+1, 7)
		if err != nil {
			t.Fatal(err)
		}
		a.SetCPUParty(slot, party)
		fd, err := unix.FcntlInt(uintptr(a.FDs()[0]), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		p, err := arena.Open([]int{fd}, slot, 7)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		all[i] = &hungry{cpus: cpus{a: p, now: func() time.Duration { return now }}}
	}
	const step, rounds = time.Millisecond, 20_000
	r := rand.New(rand.NewPCG(seed, 0))
	free := time.Duration(0)
	for range rounds {
		now += step
		left := words
		for _, i := range r.Perm(len(all)) {
			s := all[i]
			if s.until < now {
				s.idle = 0
			}
			if r.Float64() < blocks {
				s.idle, s.until = 1+r.IntN(words), now+time.Duration(r.IntN(10))*step
			}
			for len(s.held) > words-s.idle || len(s.held) > 0 && s.Over() {
				s.Release()
			}
			for len(s.held) < words-s.idle && s.Claim() {
			}
		}
		for _, s := range all {
			s.had += step * time.Duration(len(s.held))
			left -= len(s.held)
		}
		if left < 0 {
			t.Fatal("more words are held than there are")
		}
		free += step * time.Duration(left)
	}
	total := float64(words) * float64(rounds) * float64(step)
	for _, s := range all {
		for len(s.held) > 0 {
			s.Release()
		}
		had = append(had, float64(s.had)/total)
	}
	return had, float64(free) / total
}

// TestCPUsAreShared gives each job an equal share of the CPUs, whatever number of processes it has, and leaves none
// unused. The clock is the test's.
func TestCPUsAreShared(t *testing.T) {
	for _, c := range []struct {
		words   int
		parties []uint32
		blocks  float64
	}{
		{1, []uint32{1, 2}, 0},
		{2, []uint32{1, 2}, 0},
		{2, []uint32{1, 2}, 0.01},
		{3, []uint32{1, 2}, 0},
		{2, []uint32{1, 2, 3}, 0},
		{7, []uint32{1, 2, 3}, 0.01},
		{4, []uint32{1, 2, 2, 2}, 0},
		{1, []uint32{1, 2, 2}, 0},
	} {
		t.Run(fmt.Sprint(c.words, c.parties, c.blocks), func(t *testing.T) {
			had, unused := shareOf(t, c.words, c.parties, c.blocks, 1)
			jobs := map[uint32]float64{}
			for i, p := range c.parties {
				jobs[p] += had[i]
			}
			t.Log(had, unused)
			for p, got := range jobs {
				if fair := 1 / float64(len(jobs)); got < 0.8*fair || got > 1.2*fair {
					t.Errorf("job %d had %.2f of the CPUs, not %.2f", p, got, fair)
				}
			}
			if unused > 0.04+10*c.blocks {
				t.Errorf("nobody had %.3f of them", unused)
			}
		})
	}
}

// TestStoppedProcessIsNotWaitedFor has a process that deserves a free CPU and does not take it.
func TestStoppedProcessIsNotWaitedFor(t *testing.T) {
	had, _ := shareOf(t, 2, []uint32{1}, 0, 1)
	if had[0] < 0.99 {
		t.Errorf("alone it had %v", had)
	}
	a, err := arena.Create(arena.Config{Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.SetCPUs(2000); err != nil {
		t.Fatal(err)
	}
	now := time.Duration(1)
	clock := func() time.Duration { return now }
	me, other := &cpus{a: a, now: clock}, 0
	if other, err = a.Admit(1, 7); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(uintptr(a.FDs()[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := arena.Open([]int{fd}, other, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	stopped := &cpus{a: p, now: clock}
	for range 2 {
		if !me.Claim() {
			t.Fatal("a free word is not to be had")
		}
	}
	if stopped.Claim() || !me.Over() || !me.Wanted() || stopped.Wanted() {
		t.Fatal("who has both and who waits is not known")
	}
	me.Release()
	if me.Claim() {
		t.Fatal("took what the other one deserves")
	}
	now += cpuYield
	if !me.Claim() {
		t.Fatal("leaves a CPU to a stopped process for good")
	}
}
