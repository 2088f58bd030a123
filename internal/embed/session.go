package embed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/proc"
)

// Session is a driver's process with its connection to a node, and the node itself where it is embedded.
type Session struct {
	*proc.Process
	node *node.Node // nil when attached to a node of its own process
}

// Start attaches this process as Open says.
func Start(ctx context.Context, o Options) (*Session, error) {
	c, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	p, err := proc.Attach(ctx, proc.Config{Conn: c.Conn, Env: environment(o.WorkerEnv), Logger: o.Logger,
		LogToDriver: o.LogToDriver == nil || *o.LogToDriver, Isolate: os.Getenv("KADRE_ISOLATE") == "1"})
	if err != nil {
		if c.Node != nil {
			err = errors.Join(err, c.Node.Close())
		}
		return nil, err
	}
	return &Session{p, c.Node}, nil
}

// environment gives the variables of this process that workers get too.
func environment(names []string) (env []string) {
	for _, n := range append([]string{"KADRE_TRACE"}, names...) { // workers record where the driver does
		if v, ok := os.LookupEnv(n); ok {
			env = append(env, n+"="+v)
		}
	}
	return env
}

// Close ends the process's job, then the embedded node.
func (s *Session) Close(ctx context.Context) error {
	err := s.Process.Close(ctx)
	if s.node != nil {
		err = errors.Join(err, s.node.Close())
	}
	return err
}

// attachWithin bounds a worker's way to its node.
const attachWithin = 10 * time.Second

// RunWorker serves the node that started this process, and never returns; in other processes it returns at
// once.
func RunWorker() {
	if os.Getenv("KADRE_WORKER") != "1" {
		return
	}
	dieWithNode()
	boundStack()
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "kadre: worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

const (
	goStack     = 1_000_000_000 // bytes, how far Go lets a stack grow unless told otherwise
	workerStack = 256 << 20     // the same in a worker; a stack is as large as a power of two, so 128 MiB of it are used
)

// boundStack has a function that calls itself without end take 200 MiB before it ends this worker, and not most of a GiB,
// unless the program has set a bound of its own.
func boundStack() {
	if was := debug.SetMaxStack(workerStack); was != goStack {
		debug.SetMaxStack(was)
	}
}

// dieWithNode ends this worker and its children when the node that leads it ends: the kernel sends SIGTERM
// then. Until it comes nothing may end the worker alone, not even a line that nobody reads any more: SIGPIPE
// does not when it is asked for.
func dieWithNode() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	go func() {
		<-c
		node.KillStrays(os.Getenv("KADRE_SOCKET"), os.Getenv(node.ChildOf))
		endGroup()
	}()
}

// endGroup ends this worker and its children: it leads its process group, so 0 names them.
func endGroup() { syscall.Kill(0, syscall.SIGKILL) }

func serve() error {
	text := os.Getenv("KADRE_WORKER_ID")
	n, err := strconv.ParseUint(text, 10, 64)
	os.Unsetenv("KADRE_WORKER") // what a task starts is no worker
	os.Unsetenv("KADRE_WORKER_ID")
	os.Setenv(node.ChildOf, text)
	if err != nil || n == 0 {
		return fmt.Errorf("KADRE_WORKER_ID %q is no number that a node gives", text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), attachWithin)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", os.Getenv("KADRE_SOCKET"))
	if err != nil {
		return err
	}
	p, err := proc.Attach(ctx, proc.Config{Conn: c.(*net.UnixConn), Worker: n})
	if err != nil {
		return err
	}
	defer endGroup()
	<-p.Stopping()
	ctx, cancel = context.WithTimeout(context.Background(), attachWithin/2)
	defer cancel()
	return p.Close(ctx)
}
