package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kadrehq/kadre/objstore/arena"
)

const (
	victims    = 4
	nearSlots  = 2       // victims whose holder bits are in the main word
	lowSlots   = 32      // slots up to here have theirs there
	arenaBytes = 8 << 20 // small, so that the arena is often full
	entries    = 400
	cpuMilli   = 2500
	anywhere   = -1                     // no kill point: at any instruction
	mostPassed = 40                     // times that a victim goes by its kill point
	progress   = 50                     // kills between two lines of progress
	mostRun    = 20 * time.Millisecond  // between two kills
	mostAimed  = 120 * time.Millisecond // for a victim to come by its kill point
	mostTries  = 100                    // kills at a point at which nobody has died in the end
	mostTried  = time.Second            // for a victim to come by that
)

// hunt is a run of the plan.
type hunt struct {
	Options
	a       *arena.Arena
	r       *rand.Rand
	file    *os.File // the arena's
	all     []*prey
	epochs  uint64
	chosen  int                   // kills at a point in turn
	patient bool                  // those that are left are points that nobody came by
	more    int                   // kills for these
	found   arena.ReapStats       // what the dead left
	reached [arena.KillPoints]int // deaths at each kill point
}

func storeKill(ctx context.Context, o Options) (err error) {
	o = o.withDefaults()
	a, err := arena.Create(arena.Config{Size: arenaBytes, Entries: entries})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := a.SetCPUs(cpuMilli); err != nil {
		return err
	}
	fd, err := unix.FcntlInt(uintptr(a.FDs()[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("chaos: store-kill: %w", err)
	}
	h := &hunt{Options: o, a: a, r: rand.New(rand.NewPCG(o.Seed, 0)), file: os.NewFile(uintptr(fd), "arena")}
	defer h.file.Close()
	defer h.end()
	fmt.Fprintf(o.Log, "store-kill: %d kills, seed %d, %d processes at an arena of %d bytes on %s\n", o.Kills, o.Seed, victims, a.Size(), a.Backing())
	if err := h.reserve(); err != nil {
		return err
	}
	if err := h.hunt(ctx); err != nil {
		return err
	}
	h.end()
	a.DeleteJob(killJob)
	if u := a.Audit(); !u.Empty() || u.CPUMilli != 0 || len(u.Clients) != 0 || u.Check() != nil {
		return fmt.Errorf("chaos: store-kill: seed %d: something is left in the end: %w\n%v", o.Seed, u.Check(), u)
	}
	fmt.Fprintf(o.Log, "store-kill: %d kills: 0 leaks, 0 corrupt reads, no getter left asleep, the arena is empty in the end\n", h.Kills+h.more)
	return nil
}

// reserve admits nobody to low slots, so that only some victims get one.
func (h *hunt) reserve() error {
	for range lowSlots {
		h.epochs++
		if _, err := h.a.Admit(os.Getpid(), h.epochs); err != nil {
			return err
		}
	}
	for slot := range nearSlots {
		h.a.Reap(slot + 1)
	}
	return nil
}

func (h *hunt) hunt(ctx context.Context) error {
	begin := time.Now()
	for n := 1; n <= h.Kills; n++ {
		point := anywhere
		switch n % 8 {
		case 0:
			point = arena.BeforeWake
		case 2, 4, 6:
			point = h.chosen % arena.KillPoints
			h.chosen++
		}
		if err := h.kill(ctx, point); err != nil {
			at := "at any instruction"
			if point != anywhere {
				at = "at " + arena.KillPoint(point)
			}
			return fmt.Errorf("chaos: store-kill: kill %d of %d, %s, seed %d: %w", n, h.Kills, at, h.Seed, err)
		}
		if n%progress == 0 || n == h.Kills {
			fmt.Fprintf(h.Log, "%7d kills in %v: the dead held %d objects, left %d half-made or half-freed, %d to free, %d wait bits; nothing leaked\n",
				n, time.Since(begin).Round(100*time.Millisecond), h.found.Held, h.found.Finished, h.found.Evicted, h.found.Waits)
		}
	}
	if err := h.reachAll(ctx); err != nil {
		return err
	}
	var said []string
	chosen := 0
	for p, n := range h.reached {
		said = append(said, fmt.Sprintf("%s %d", arena.KillPoint(p), n))
		chosen += n
	}
	fmt.Fprintf(h.Log, "store-kill: %d kills, %d of them at kill points: %s\n", h.Kills+h.more, chosen, strings.Join(said, ", "))
	return nil
}

// reachAll goes on until somebody has died at each kill point, where there were enough kills for all.
func (h *hunt) reachAll(ctx context.Context) error {
	if h.Kills < arena.KillPoints {
		return nil
	}
	h.patient = true
	for p := range h.reached {
		for tries := 0; h.reached[p] == 0; tries++ {
			if tries == mostTries {
				return fmt.Errorf("chaos: store-kill: seed %d: nobody came by %s in %d tries of %v", h.Seed, arena.KillPoint(p), tries, mostTried)
			}
			if err := h.kill(ctx, p); err != nil {
				return fmt.Errorf("chaos: store-kill: a kill after the %d, at %s, seed %d: %w", h.Kills, arena.KillPoint(p), h.Seed, err)
			}
			h.more++
		}
	}
	return nil
}

// kill has all victims work for a moment, kills one, reaps it and checks the arena while the others rest.
func (h *hunt) kill(ctx context.Context, point int) error {
	for len(h.all) < victims {
		if err := h.start(ctx); err != nil {
			return err
		}
	}
	i := h.choose(point)
	k := h.all[i]
	within := time.Duration(h.r.Int64N(int64(mostRun)))
	if point != anywhere {
		passes := h.r.IntN(1 + h.r.IntN(mostPassed))
		if within = mostAimed; h.patient {
			within, passes = mostTried, 0
		}
		if err := k.orders.Encode(order{Do: "die", Point: point, After: passes}); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-k.dead:
	case <-time.After(within):
	}
	h.all = append(h.all[:i], h.all[i+1:]...)
	if err := h.bury(k, point); err != nil {
		return err
	}
	held, err := h.rest(ctx)
	if err != nil {
		return err
	}
	if err := h.inspect(held); err != nil {
		return err
	}
	for _, k := range h.all {
		if _, err := k.ask(ctx, order{Do: "go on"}); err != nil {
			return err
		}
	}
	return nil
}

// choose draws a victim; for a step with one kind of holder bit one that has it.
func (h *hunt) choose(point int) int {
	i := h.r.IntN(len(h.all))
	if point == anywhere {
		return i
	}
	name := arena.KillPoint(point)
	for {
		low := h.all[i].slot < lowSlots
		if strings.HasPrefix(name, "far-") && low || strings.HasPrefix(name, "near-") && !low {
			i = (i + 1) % len(h.all)
			continue
		}
		return i
	}
}

// rest has all victims rest, and says how many objects each holds, by slot. All have stopped before any is asked,
// so that nothing is sealed any more which a getter could not know of.
func (h *hunt) rest(ctx context.Context) (map[int]int, error) {
	for _, k := range h.all {
		if _, err := k.ask(ctx, order{Do: "rest"}); err != nil {
			return nil, err
		}
	}
	held := map[int]int{}
	for _, k := range h.all {
		n, err := k.ask(ctx, order{Do: "count"})
		if err != nil {
			return nil, err
		}
		if n > 0 {
			held[k.slot] = n
		}
	}
	return held, nil
}

// inspect checks everything while nobody works; want is who says it holds how many objects.
func (h *hunt) inspect(want map[int]int) error {
	u := h.a.Audit()
	if err := u.Check(); err != nil {
		return fmt.Errorf("an invariant does not hold: %w\n%v", err, u)
	}
	if u.Creating+u.Evicting+u.Closing+u.Waits+u.Stale+u.CPUMilli != 0 {
		return fmt.Errorf("a leak: nobody is at work, yet something is half-done:\n%v", u)
	}
	if !maps.Equal(want, u.Holders) {
		return fmt.Errorf("a leak: the processes say they hold %v, by slot, and the arena:\n%v", want, u)
	}
	for n := range objects {
		o, ok := h.a.Get(objectOf(n))
		if !ok {
			continue
		}
		err := check(o.Bytes(), n)
		o.Release()
		if err != nil {
			return err
		}
	}
	return nil
}
