package testnet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

const (
	readyWithin = 60 * time.Second // of one node, while many start
	keptErr     = 16 << 10         // bytes of a node's standard error
	maxAnswer   = 64 << 20         // bytes of one answer
)

// Node is a process that runs `kadre start` in a namespace.
type Node struct {
	Name string
	NS   *Namespace
	ID   id.Node // once it serves
	PID  int     // 0: it does not run

	net  *Net
	dir  string
	cmd  *exec.Cmd
	errs *tail

	mu  sync.Mutex // one order at a time
	in  io.WriteCloser
	out *bufio.Reader
}

// Addr is where other nodes reach it.
func (d *Node) Addr() string { return net.JoinHostPort(d.NS.IP.String(), strconv.Itoa(Port)) }

// Start runs the node and waits until it serves. It has the key and the state that it had before.
func (d *Node) Start(ctx context.Context, args ...string) (err error) {
	c := &d.net.cfg
	argv := append([]string{c.Exe, "start", "--cluster", "net", "--token-file", d.net.token, "--listen", d.Addr(), "--no-mdns",
		"--cpus", "1", "--object-store-memory", c.Store, "--state-dir", filepath.Join(d.dir, "state")}, args...)
	d.cmd = d.NS.Command(append(argv, c.Args...)...)
	d.cmd.Env = append([]string{orderEnv + "=1", "KADRE_CHECK=empty", "XDG_RUNTIME_DIR=" + filepath.Join(d.dir, "run"), "HOME=" + d.dir, "PATH=" + os.Getenv("PATH")}, c.Env...)
	d.cmd.SysProcAttr = Tied()
	d.errs = &tail{}
	d.cmd.Stderr = d.errs
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return fmt.Errorf("testnet: %w", err)
	}
	out, err := d.cmd.StdoutPipe()
	if err == nil {
		err = d.cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("testnet: starting %s: %w", d.Name, err)
	}
	d.PID = d.cmd.Process.Pid
	d.out = bufio.NewReader(out)
	var r struct{ Node id.Node }
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if err := d.hear(ctx, &r); err != nil {
		d.Kill()
		return fmt.Errorf("testnet: %s does not come up: %w: %s", d.Name, err, d.errs)
	}
	d.ID = r.Node
	return nil
}

// Ask gives the node an order and reads its answer.
func (d *Node) Ask(ctx context.Context, o Order, answer any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, err := json.Marshal(o)
	if err == nil {
		_, err = d.in.Write(append(b, '\n'))
	}
	var a struct {
		Err    string
		Answer json.RawMessage
	}
	if err == nil {
		err = d.hear(ctx, &a)
	}
	switch {
	case err != nil:
		return fmt.Errorf("testnet: %s, asked to %s: %w: %s", d.Name, o.Do, err, d.errs)
	case a.Err != "":
		return fmt.Errorf("testnet: %s, asked to %s: %s", d.Name, o.Do, a.Err)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(a.Answer, answer)
}

// hear reads a line. When ctx ends the node is killed, since its answers would come out of step.
func (d *Node) hear(ctx context.Context, v any) error {
	stop := context.AfterFunc(ctx, d.signal)
	defer stop()
	var line []byte
	for {
		part, err := d.out.ReadSlice('\n')
		if line = append(line, part...); err == nil {
			return json.Unmarshal(line, v)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return errors.Join(context.Cause(ctx), err)
		}
		if len(line) > maxAnswer {
			return fmt.Errorf("a line of more than %d bytes", maxAnswer)
		}
	}
}

func (d *Node) signal() {
	if d.cmd != nil && d.cmd.Process != nil {
		d.cmd.Process.Kill()
	}
}

// Kill ends the node with SIGKILL, if it runs, and waits until it is gone.
func (d *Node) Kill() {
	if d.PID == 0 {
		return
	}
	d.signal()
	d.cmd.Wait() // it was killed; how it ended says nothing
	d.in.Close()
	d.PID = 0
}

// Stderr is the end of what the node has written to standard error.
func (d *Node) Stderr() string { return d.errs.String() }

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > 2*keptErr {
		t.b = append(t.b[:0], t.b[len(t.b)-keptErr:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b[max(0, len(t.b)-keptErr):]))
}
