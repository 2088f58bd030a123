package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// answerTime is for a victim to attach or rest.
const answerTime = 30 * time.Second

// prey is a victim, seen by the plan.
type prey struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	orders *json.Encoder
	said   *json.Decoder
	errs   strings.Builder // for use once it is dead
	slot   int
	dead   chan struct{} // closed once it is truly dead
	how    error         // how it ended; once dead is closed
}

// start has one more victim attach and go to work.
func (h *hunt) start(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	k := &prey{cmd: exec.Command(exe), dead: make(chan struct{})}
	k.cmd.Env = append(os.Environ(), roleEnv+"=victim")
	k.cmd.ExtraFiles = []*os.File{h.file}
	k.cmd.Stderr = &k.errs
	// Not cmd.StdoutPipe: its reader must be through before Wait.
	out, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirs.Close()
	k.cmd.Stdout = theirs
	if k.in, err = k.cmd.StdinPipe(); err != nil {
		out.Close()
		return err
	}
	if err := k.cmd.Start(); err != nil {
		out.Close()
		return err
	}
	go func() {
		k.how = k.cmd.Wait()
		out.Close()
		close(k.dead)
	}()
	k.orders, k.said = json.NewEncoder(k.in), json.NewDecoder(out)
	h.epochs++
	if k.slot, err = h.a.Admit(k.cmd.Process.Pid, h.epochs); err != nil {
		k.kill()
		return err
	}
	h.all = append(h.all, k)
	_, err = k.ask(ctx, attachment{k.slot, h.epochs, h.r.Uint64()})
	return err
}

// kill kills a victim, unless it is dead already, and waits for its death.
func (k *prey) kill() {
	k.cmd.Process.Kill()
	<-k.dead
	k.in.Close()
}

// bury kills a victim that did not die at its kill point, and takes back what it held.
func (h *hunt) bury(k *prey, point int) error {
	select {
	case <-k.dead:
		if point != anywhere {
			h.reached[point]++
		}
	default:
	}
	k.kill()
	s := h.a.Reap(k.slot)
	h.found.Held += s.Held
	h.found.Finished += s.Finished
	h.found.Evicted += s.Evicted
	h.found.Waits += s.Waits
	if s, ok := k.cmd.ProcessState.Sys().(interface{ Signaled() bool }); ok && s.Signaled() {
		return nil
	}
	return fmt.Errorf("a process ended by itself: %w: %s", k.how, strings.TrimSpace(k.errs.String()))
}

// ask sends an order and reads the answer.
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
		k.kill() // so that all it said is there
		return 0, errors.Join(context.Cause(ctx), fmt.Errorf("a process does not answer: %w: %s", err, strings.TrimSpace(k.errs.String())))
	}
	return r.Held, nil
}

// end kills and reaps all that are left, and frees the reserved slots.
func (h *hunt) end() {
	for _, k := range h.all {
		k.kill()
		h.a.Reap(k.slot)
	}
	h.all = nil
	for slot := range lowSlots {
		h.a.Reap(slot + 1)
	}
}
