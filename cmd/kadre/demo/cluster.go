package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/testnet"
)

// Bounds of what the demo waits for.
const (
	startWithin = 20 * time.Second // a node's ready line, and the three to know each other
	endWithin   = 5 * time.Second  // a node's end after SIGTERM, before it is killed
	emptyWithin = 10 * time.Second // the stores to become empty
	lookEvery   = 20 * time.Millisecond
)

// cluster is the nodes of the demo: child processes, with runtime and state folders of their own.
type cluster struct {
	dir   string // all folders are in it
	nodes []*member
}

// member is one node.
type member struct {
	Name   string // A, B, C
	ID     api.NodeID
	Socket string
	Took   time.Duration // from the process's start to its ready line
	PID    int

	cmd    *exec.Cmd
	stderr tail
	ready  chan readyLine
	ended  chan struct{} // closed once the process is gone
	dead   bool          // killed on purpose
}

// startCluster starts n nodes at once and waits until each knows the others.
func startCluster(ctx context.Context, exe string, n int, flags []string) (*cluster, error) {
	sweep(shortTemp())
	dir, err := os.MkdirTemp(shortTemp(), fmt.Sprintf("%s%d-", folderName, os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("demo: making a folder for the nodes: %w", err)
	}
	c := &cluster{dir: dir}
	if err := c.start(ctx, exe, n, flags); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *cluster) start(ctx context.Context, exe string, n int, flags []string) error {
	for _, sub := range []string{"run", "state"} {
		if err := os.Mkdir(filepath.Join(c.dir, sub), 0o700); err != nil {
			return fmt.Errorf("demo: making a folder for the nodes: %w", err)
		}
	}
	env := c.environment(os.Environ())
	for i := range n {
		m := &member{Name: string(rune('A' + i)), ready: make(chan readyLine, 1), ended: make(chan struct{})}
		if err := m.start(exe, flags, env); err != nil {
			return err
		}
		c.nodes = append(c.nodes, m)
	}
	for _, m := range c.nodes {
		if err := m.awaitReady(ctx); err != nil {
			return err
		}
	}
	return c.awaitMembers(ctx, n)
}

// shortTemp is the temporary folder, or /tmp where that leaves no room for a socket's path of 107 bytes.
func shortTemp() string {
	if d := os.TempDir(); len(d) < 50 {
		return d
	}
	return "/tmp"
}

// environment is the caller's without its own settings of Kadre, and with the demo's folders.
func (c *cluster) environment(from []string) (env []string) {
	for _, kv := range from {
		if !strings.HasPrefix(kv, "KADRE_") && !strings.HasPrefix(kv, "XDG_RUNTIME_DIR=") && !strings.HasPrefix(kv, "XDG_STATE_HOME=") {
			env = append(env, kv)
		}
	}
	return append(env, "XDG_RUNTIME_DIR="+filepath.Join(c.dir, "run"), "XDG_STATE_HOME="+filepath.Join(c.dir, "state"))
}

func (m *member) start(exe string, flags, env []string) error {
	m.cmd = exec.Command(exe, append([]string{"start", "--labels", "demo=" + m.Name}, flags...)...)
	m.cmd.Env = env
	m.cmd.Stderr = &m.stderr
	m.cmd.SysProcAttr = testnet.Tied()
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("demo: node %s: %w", m.Name, err)
	}
	begin := time.Now()
	if err := m.cmd.Start(); err != nil {
		return fmt.Errorf("demo: starting node %s: %w", m.Name, err)
	}
	m.PID = m.cmd.Process.Pid
	go func() {
		defer close(m.ended)
		if line, err := bufio.NewReader(out).ReadBytes('\n'); err == nil {
			m.ready <- readyLine{line, time.Since(begin)}
		}
		io.Copy(io.Discard, out) // until the end of the process
		m.cmd.Wait()             // how it ended is not of interest
	}()
	return nil
}

// readyLine is what a node prints when it serves, and when that came.
type readyLine struct {
	json []byte
	took time.Duration
}

func (m *member) awaitReady(ctx context.Context) error {
	fail := func(err error) error { return fmt.Errorf("demo: node %s does not come up: %w", m.Name, err) }
	select {
	case l := <-m.ready:
		var r struct {
			Ready        bool
			Node, Socket string
		}
		if err := json.Unmarshal(l.json, &r); err != nil || !r.Ready {
			return fail(fmt.Errorf("it printed %q", l.json))
		}
		m.ID, m.Socket, m.Took = api.NodeID(r.Node), r.Socket, l.took
		return nil
	case <-m.ended:
		return fail(fmt.Errorf("it ended: %s", m.stderr.last()))
	case <-time.After(startWithin):
		return fail(errLate)
	case <-ctx.Done():
		return fail(ctx.Err())
	}
}

// awaitMembers waits until every node sees n living members.
func (c *cluster) awaitMembers(ctx context.Context, n int) error {
	for _, m := range c.nodes {
		seen := 0
		err := poll(ctx, startWithin, func() (bool, error) {
			s, err := m.status(ctx)
			seen = s.living()
			return seen == n, err
		})
		if err != nil {
			return fmt.Errorf("demo: node %s knows %d of %d nodes: %w", m.Name, seen, n, err)
		}
	}
	return nil
}

// living gives the nodes that have not been killed.
func (c *cluster) living() (out []*member) {
	for _, m := range c.nodes {
		if !m.dead {
			out = append(out, m)
		}
	}
	return out
}

// kill ends a node with SIGKILL and waits until it is gone.
func (m *member) kill() error {
	m.dead = true
	if err := m.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("demo: killing node %s: %w", m.Name, err)
	}
	<-m.ended
	return nil
}

func (m *member) gone() bool {
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

// stop ends all nodes and removes their folders.
func (c *cluster) stop() error {
	var errs []error
	for _, m := range c.nodes {
		if m.gone() && !m.dead {
			errs = append(errs, fmt.Errorf("demo: node %s ended by itself: %s", m.Name, m.stderr.last()))
		}
		m.cmd.Process.Signal(syscall.SIGTERM) // fails where it is gone already
	}
	late := time.After(endWithin)
	for _, m := range c.nodes {
		select {
		case <-m.ended:
		case <-late:
			late = closed
			m.cmd.Process.Kill()
			<-m.ended
			errs = append(errs, fmt.Errorf("demo: node %s did not end within %v of SIGTERM and was killed: %s", m.Name, endWithin, m.stderr.last()))
		}
	}
	if err := os.RemoveAll(c.dir); err != nil {
		errs = append(errs, fmt.Errorf("demo: removing the nodes' folders: %w", err))
	}
	return errors.Join(errs...)
}

var closed = func() chan time.Time { c := make(chan time.Time); close(c); return c }()

// status is what the demo reads of a node's status.
type status struct {
	Members []struct{ State string }
	Steals  struct {
		TasksIn  int64 `json:"tasks_in"`
		TasksOut int64 `json:"tasks_out"`
	}
	Bytes   struct{ In, Out int64 }
	Workers []struct{ PID int }
	Store   struct {
		Objects, Holders, Blocks, Bytes int64
	}
}

func (m *member) status(ctx context.Context) (s status, err error) {
	return s, ask.Into(ctx, m.Socket, ask.Status, &s)
}

func (s status) living() (n int) {
	for _, m := range s.Members {
		if m.State == "alive" {
			n++
		}
	}
	return n
}

// onlyAt counts the sealed objects that lie on a node and on no other.
func (c *cluster) onlyAt(ctx context.Context, m *member) (only int, err error) {
	at := map[string]*member{}
	for _, o := range append(slices.DeleteFunc(c.living(), func(o *member) bool { return o == m }), m) {
		var memory struct{ Objects []node.ObjectStatus }
		if err := ask.Into(ctx, o.Socket, ask.Memory, &memory); err != nil {
			return 0, err
		}
		for _, e := range memory.Objects {
			if _, ok := at[e.ID]; !ok && e.State == "SEALED" {
				at[e.ID] = o
			}
		}
	}
	for _, o := range at {
		if o == m {
			only++
		}
	}
	return only, nil
}

// awaitEmpty waits until the stores of all living nodes hold no object, holder or block.
func (c *cluster) awaitEmpty(ctx context.Context) error {
	for _, m := range c.living() {
		var s status
		err := poll(ctx, emptyWithin, func() (empty bool, err error) {
			s, err = m.status(ctx)
			return s.Store.Objects == 0 && s.Store.Holders == 0 && s.Store.Blocks == 0 && len(s.Workers) == 0, err
		})
		if err != nil {
			return fmt.Errorf("demo: node %s still has %d workers, and in its store %d objects, %d holders and %d blocks: %w",
				m.Name, len(s.Workers), s.Store.Objects, s.Store.Holders, s.Store.Blocks, err)
		}
	}
	return nil
}

var errLate = errors.New("waited too long")

// poll asks until the answer is yes, an error, or the time is over.
func poll(ctx context.Context, within time.Duration, yes func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%w (%v)", errLate, within))
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if ok, err := yes(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tail keeps the end of what a node writes to standard error.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > tailSize {
		t.b = append(t.b[:0], t.b[len(t.b)-tailSize:]...)
	}
	return len(p), nil
}

// last is what a node said before it ended: its panic, or the last line.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, mark := range []string{"\npanic: ", "\nfatal error: "} {
		if i := bytes.LastIndex(t.b, []byte(mark)); i >= 0 {
			return string(bytes.TrimSpace(t.b[i:]))
		}
	}
	b := bytes.TrimSpace(t.b)
	return string(b[bytes.LastIndexByte(b, '\n')+1:])
}
