package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kadrehq/kadre/objstore/arena"
)

const (
	victims    = 4
	arenaBytes = 8 << 20 // small, so that the arena is often full
	entries    = 400
	mostRun    = 20 * time.Millisecond // between two kills
	answerTime = 30 * time.Second      // for a victim to attach or rest
	progress   = 50                    // kills between two lines of progress
)

// prey is a victim, seen by the plan.
type prey struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	orders *json.Encoder
	said   *json.Decoder
	errs   strings.Builder
	slot   int
}

// hunt is a run of the plan.
type hunt struct {
	Options
	a      *arena.Arena
	r      *rand.Rand
	file   *os.File // the arena's
	all    []*prey
	epochs uint64
	found  arena.ReapStats // what the dead left
}

func storeKill(ctx context.Context, o Options) (err error) {
	o = o.withDefaults()
	a, err := arena.Create(arena.Config{Size: arenaBytes, Entries: entries})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	fd, err := unix.FcntlInt(uintptr(a.FDs()[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("chaos: store-kill: %w", err)
	}
	h := &hunt{Options: o, a: a, r: rand.New(rand.NewPCG(o.Seed, 0)), file: os.NewFile(uintptr(fd), "arena")}
	defer h.file.Close()
	defer h.end()
	begin := time.Now()
	fmt.Fprintf(o.Log, "store-kill: %d kills, seed %d, %d processes at an arena of %d bytes on %s\n", o.Kills, o.Seed, victims, a.Size(), a.Backing())
	for n := 1; n <= o.Kills; n++ {
		if err := h.kill(ctx); err != nil {
			return fmt.Errorf("chaos: store-kill: kill %d of %d, seed %d: %w", n, o.Kills, o.Seed, err)
		}
		if n%progress == 0 || n == o.Kills {
			fmt.Fprintf(o.Log, "%7d kills in %v: the dead held %d objects, left %d half-made or half-freed, %d to free, %d wait bits; nothing leaked\n",
				n, time.Since(begin).Round(100*time.Millisecond), h.found.Held, h.found.Finished, h.found.Evicted, h.found.Waits)
		}
	}
	h.end()
	a.DeleteJob(killJob)
	if u := a.Audit(); !u.Empty() || u.Check() != nil {
		return fmt.Errorf("chaos: store-kill: seed %d: something is left in the end: %w\n%v", o.Seed, u.Check(), u)
	}
	fmt.Fprintf(o.Log, "store-kill: %d kills: 0 leaks, 0 corrupt reads, the arena is empty in the end\n", o.Kills)
	return nil
}

// kill has all victims work for a moment, kills one, reaps it and checks the arena while the others rest.
func (h *hunt) kill(ctx context.Context) error {
	for len(h.all) < victims {
		if err := h.start(ctx); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Duration(h.r.Int64N(int64(mostRun)))):
	}
	i := h.r.IntN(len(h.all))
	k := h.all[i]
	h.all = append(h.all[:i], h.all[i+1:]...)
	if err := h.bury(k); err != nil {
		return err
	}
	want := map[int]int{}
	for _, k := range h.all {
		held, err := k.rest(ctx)
		if err != nil {
			return err
		}
		if held > 0 {
			want[k.slot] = held
		}
	}
	if err := h.inspect(want); err != nil {
		return err
	}
	for _, k := range h.all {
		if err := k.rouse(ctx); err != nil {
			return err
		}
	}
	return nil
}

// bury kills a victim, waits for its death and takes back what it held.
func (h *hunt) bury(k *prey) error {
	k.cmd.Process.Kill()
	err := k.cmd.Wait()
	k.in.Close()
	s := h.a.Reap(k.slot)
	h.found.Held += s.Held
	h.found.Finished += s.Finished
	h.found.Evicted += s.Evicted
	h.found.Waits += s.Waits
	if s, ok := k.cmd.ProcessState.Sys().(interface{ Signaled() bool }); ok && s.Signaled() {
		return nil
	}
	return fmt.Errorf("a process ended by itself: %w: %s", err, strings.TrimSpace(k.errs.String()))
}

// inspect checks everything while nobody works; want is who says it holds how many objects.
func (h *hunt) inspect(want map[int]int) error {
	u := h.a.Audit()
	if err := u.Check(); err != nil {
		return fmt.Errorf("an invariant does not hold: %w\n%v", err, u)
	}
	if u.Creating+u.Evicting+u.Closing+u.Waits+u.Stale != 0 {
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

// start has one more victim attach and go to work.
func (h *hunt) start(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	k := &prey{cmd: exec.Command(exe)}
	k.cmd.Env = append(os.Environ(), roleEnv+"=victim")
	k.cmd.ExtraFiles = []*os.File{h.file}
	k.cmd.Stderr = &k.errs
	in, err := k.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := k.cmd.Start(); err != nil {
		return err
	}
	k.in, k.orders, k.said = in, json.NewEncoder(in), json.NewDecoder(out)
	h.epochs++
	if k.slot, err = h.a.Admit(k.cmd.Process.Pid, h.epochs); err != nil {
		k.cmd.Process.Kill()
		k.cmd.Wait()
		return err
	}
	h.all = append(h.all, k)
	_, err = k.ask(ctx, attachment{k.slot, h.epochs, h.r.Uint64()})
	return err
}

func (k *prey) rest(ctx context.Context) (int, error) { return k.ask(ctx, "rest") }

func (k *prey) rouse(ctx context.Context) error {
	_, err := k.ask(ctx, "go on")
	return err
}

// ask sends a line and reads the answer.
func (k *prey) ask(ctx context.Context, line any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { k.cmd.Process.Kill() })
	defer stop()
	var r rest
	err := k.orders.Encode(line)
	if err == nil {
		err = k.said.Decode(&r)
	}
	if err != nil {
		k.cmd.Process.Kill()
		k.cmd.Wait() // so that all it said is there
		return 0, errors.Join(context.Cause(ctx), fmt.Errorf("a process does not answer: %w: %s", err, strings.TrimSpace(k.errs.String())))
	}
	return r.Held, nil
}

// end kills and reaps all that are left.
func (h *hunt) end() {
	for _, k := range h.all {
		k.cmd.Process.Kill()
		k.cmd.Wait() // it was killed; how it ended says nothing
		k.in.Close()
		h.a.Reap(k.slot)
	}
	h.all = nil
}
