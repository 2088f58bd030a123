package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/wire"
)

// The views of a node.
const (
	Status  = "status"
	Events  = "events"
	Nodes   = "nodes"
	Workers = "all workers" // of all nodes, as the next: lists, see [node.List]
	Tasks   = "all tasks"
	Waits   = "all waits" // tasks that wait
	Jobs    = "all jobs"
	Actors  = "all actors"
	Groups  = "all groups"  // placement groups
	Record  = "all record " // and for how long: processes record their tasks
	Tape    = "tape "       // and node, process and part: what was recorded
	Logs    = "all logs"
	Log     = "log " // and node, file, number and place
	Memory  = "memory"
	Objects = "objects" // in parts, see [EachObject]
	Fsck    = "fsck"
	Drain   = "drain" // begins to drain it; its status
)

// At is a view of another node, which the one that is asked passes on.
func At(at id.Node, view string) string { return "at " + string(at) + " " + view }

// answerWithin bounds a question where the context does not.
const answerWithin = 10 * time.Second

// ErrNoNode is wrapped where no node runs.
var ErrNoNode = errors.New("ask: no node is running")

// ErrHungUp is wrapped where a node took a question and gave no answer.
var ErrHungUp = errors.New("ask: the node hung up")

// Socket gives the socket of the node to ask: the one named, else by KADRE_SOCKET, else that of the oldest
// living node of the cluster.
func Socket(named, cluster string) (string, error) {
	if named != "" {
		return named, nil
	}
	if s := os.Getenv("KADRE_SOCKET"); s != "" {
		return s, nil
	}
	s, err := node.FindNode(cluster)
	if err != nil {
		return "", err
	}
	if s == "" {
		return "", fmt.Errorf("%w in cluster %q on this machine: start one with 'kadre start', or name its socket with --socket", ErrNoNode, cluster)
	}
	return s, nil
}

// Node asks the node that listens on socket for a view and gives the answer's JSON.
func Node(ctx context.Context, socket, view string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w at %s: there is no such socket; start a node with 'kadre start'", ErrNoNode, socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w at %s: the socket is what a dead node left; start a node with 'kadre start'", ErrNoNode, socket)
	case err != nil:
		return nil, fmt.Errorf("ask: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()

	conn := c.(*net.UnixConn)
	hello := wire.Hello{Version: wire.Version, Kind: wire.AttachQuery, PID: os.Getpid(), What: view}
	if err := wire.SendMsg(conn, &hello); err != nil {
		return nil, refused(ctx, socket, err)
	}
	var a wire.Answer
	fds, err := wire.RecvMsg(conn, &a)
	if err != nil {
		return nil, refused(ctx, socket, err)
	}
	wire.CloseFDs(fds)
	if a.Err != nil {
		return nil, fmt.Errorf("ask: the node at %s: %w", socket, a.Err)
	}
	return a.JSON, nil
}

func refused(ctx context.Context, socket string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("ask: the node at %s does not answer: %w", socket, ctx.Err())
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the node at %s is of another version, or ending", ErrHungUp, socket)
	}
	return fmt.Errorf("ask: the node at %s: %w", socket, err)
}

// EachObject calls f with the objects of a node, which need not be the one that is asked, part by part until f returns false.
func EachObject(ctx context.Context, socket string, at id.Node, f func(node.ObjectPage) bool) error {
	for next := ""; ; {
		var p node.ObjectPage
		if err := Into(ctx, socket, At(at, Objects+next), &p); err != nil {
			return err
		}
		if next = p.Next; !f(p) || next == "" {
			return nil
		}
	}
}

// Into asks for a view and decodes the answer into v. Where there is nothing to list, v stays as it is.
func Into(ctx context.Context, socket, view string, v any) error {
	b, err := Node(ctx, socket, view)
	if err != nil {
		return err
	}
	if string(b) == "null" {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("ask: %s of the node at %s: %w", view, socket, err)
	}
	return nil
}
