package testbed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/testnet"
)

// Process is a program that runs in a Bed.
type Process struct {
	Name string
	PID  int

	bed  *Bed
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  output
	err  output
	read int           // lines of out that were taken
	done chan struct{} // closed once it has ended and its output is complete
}

// maxOutput bounds what is kept of one stream of a process; a test that writes more is wrong.
const maxOutput = 64 << 20

// output keeps what a process writes.
type output struct {
	mu   sync.Mutex
	b    []byte
	over bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.b)+len(p) > maxOutput {
		o.over = true
		return len(p), nil
	}
	o.b = append(o.b, p...)
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return string(o.b) + "\n(more was written than is kept)"
	}
	return string(o.b)
}

// line gives the nth whole line.
func (o *output) line(n int) ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rest := o.b
	for ; ; n-- {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok || n == 0 {
			return bytes.Clone(line), ok
		}
		rest = after
	}
}

// launch starts a program in a process group of its own.
func (b *Bed) launch(name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{Name: name, bed: b, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.err
	cmd.SysProcAttr = testnet.Tied()
	cmd.WaitDelay = time.Second // for what it left behind with its output
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("testbed: starting %s: %w", name, err)
	}
	p.in, p.PID = in, cmd.Process.Pid
	go func() {
		defer close(p.done)
		cmd.Wait() // Ended tells how
	}()
	return p, nil
}

// Stderr is what the process has written to standard error so far.
func (p *Process) Stderr() string { return p.err.String() }

// Stdout is what the process has written to standard output so far.
func (p *Process) Stdout() string { return p.out.String() }

// Ended tells whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// next waits for the next line of standard output.
func (p *Process) next(within time.Duration) ([]byte, error) {
	var line []byte
	got := func() (ok bool) { line, ok = p.out.line(p.read); return ok }
	if !await(within, func() bool { return got() || p.Ended() }) {
		return nil, fmt.Errorf("testbed: %s printed no line within %v", p.Name, within)
	}
	if !got() {
		return nil, fmt.Errorf("testbed: %s ended (%v)", p.Name, p.cmd.ProcessState)
	}
	p.read++
	return line, nil
}

// Hear waits for the next line of JSON that the process prints.
func (p *Process) Hear(v any) {
	p.bed.t.Helper()
	line, err := p.next(lineWithin)
	if err == nil {
		err = json.Unmarshal(line, v)
	}
	if err != nil {
		p.bed.t.Fatalf("%v; line %q; standard error:\n%s", err, line, tail(p.Stderr()))
	}
}

// Tell writes a line of JSON to the process's standard input.
func (p *Process) Tell(v any) {
	p.bed.t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		_, err = p.in.Write(append(b, '\n'))
	}
	if err != nil {
		p.bed.t.Fatalf("telling %s: %v; standard error:\n%s", p.Name, err, tail(p.Stderr()))
	}
}

// Wait closes the process's standard input, waits for its end and gives its exit status; -1 when a signal
// ended it.
func (p *Process) Wait(within time.Duration) int {
	p.bed.t.Helper()
	p.in.Close()
	Until(p.bed.t, within, p.Ended, func() string {
		return fmt.Sprintf("%s (pid %d) still runs; standard error:\n%s", p.Name, p.PID, tail(p.Stderr()))
	})
	return p.cmd.ProcessState.ExitCode()
}

// Succeed waits for the process's end and fails the test unless its exit status is 0.
func (p *Process) Succeed(within time.Duration) {
	p.bed.t.Helper()
	if code := p.Wait(within); code != 0 {
		p.bed.t.Fatalf("%s ended with status %d; standard error:\n%s", p.Name, code, tail(p.Stderr()))
	}
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	p.kill()
	<-p.done
}

func (p *Process) kill() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, syscall.ESRCH) && !p.Ended() {
		p.bed.t.Logf("killing %s: %v", p.Name, err)
	}
}

// Signal sends the process a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.bed.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.bed.t.Fatalf("signal %v to %s: %v", s, p.Name, err)
	}
}

// AwaitStderr waits until the process has written all the words to standard error.
func (p *Process) AwaitStderr(within time.Duration, words ...string) {
	p.bed.t.Helper()
	Until(p.bed.t, within, func() bool { return Says(p.Stderr(), words...) }, func() string {
		return fmt.Sprintf("%s did not say %q; standard error:\n%s", p.Name, words, tail(p.Stderr()))
	})
}

// Says tells whether text contains all the words, in any case.
func Says(text string, words ...string) bool {
	text = strings.ToLower(text)
	for _, w := range words {
		if !strings.Contains(text, strings.ToLower(w)) {
			return false
		}
	}
	return true
}

// tail is the end of a text that is long.
func tail(s string) string {
	const most = 6 << 10
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}
