package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// ChildOf is the variable by which what a worker starts names the worker, see KillStrays.
const ChildOf = "KADRE_CHILD_OF"

// spawner starts processes from one thread that lives as long as the node: the kernel kills them with it.
type spawner struct {
	ch   chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{make(chan func()), make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread() // no process of it is left then
		defer close(s.done)
		for f := range s.ch {
			f()
		}
	}()
	return s
}

// start runs c.Start on the spawner's thread. It is not called after stop.
func (s *spawner) start(c *exec.Cmd) (err error) {
	done := make(chan struct{})
	s.ch <- func() { err = c.Start(); close(done) }
	<-done
	return err
}

func (s *spawner) stop() {
	close(s.ch)
	<-s.done
}

// launch starts a worker's process.
func (n *Node) launch(w *worker) (*exec.Cmd, *workerLogs, error) {
	n.mu.Lock()
	desc, exe, home := w.job.desc, w.job.exe, w.job.driver
	doomed := w.why
	n.mu.Unlock()
	if doomed != "" {
		return nil, nil, fmt.Errorf("node: %s", doomed)
	}
	if exe == nil {
		return nil, nil, fmt.Errorf("node: the executable of job %v is not to be had", desc.Job)
	}
	scratch := filepath.Join(n.state, scratchDir, desc.Job.String())
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, nil, fmt.Errorf("node: scratch folder: %w", err)
	}
	name := exe.Name()
	if home != nil && home.hello.Exe != "" {
		name = home.hello.Exe
	}
	cmd := &exec.Cmd{Path: exePath(exe), Args: append([]string{name}, desc.Args...), Dir: scratch, Env: n.workerEnv(w, desc.Env)}
	leashed(cmd)
	logs, err := n.openLogs(w, desc)
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdout, cmd.Stderr = logs.stdout, logs.stderr
	err = n.spawner.start(cmd)
	logs.stdout.Close()
	logs.stderr.Close()
	if err != nil {
		logs.finish(false)
		return nil, nil, fmt.Errorf("node: starting a worker of job %v: %w", desc.Job, err)
	}
	n.mu.Lock()
	w.pid, w.logs = cmd.Process.Pid, logs
	if w.why != "" { // it was to end before it had a number
		killGroup(w.pid)
	}
	n.mu.Unlock()
	logs.begin(cmd.Process.Pid)
	return cmd, logs, nil
}

// workerEnv is a worker's environment; the cluster token is not in it.
func (n *Node) workerEnv(w *worker, job []string) []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case name == "PATH" || name == "HOME" || name == "TZ" || name == "LANG",
			strings.HasPrefix(name, "KADRE_") && !strings.Contains(name, "TOKEN"):
			env = append(env, v)
		}
	}
	env = append(env, job...)
	env = append(env, n.traceOf()...)
	return append(env, "KADRE_WORKER=1", "KADRE_SOCKET="+n.socket, "KADRE_WORKER_ID="+strconv.FormatUint(w.num, 10), "KADRE_JOB="+w.job.id.String())
}
