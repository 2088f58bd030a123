package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/kadrehq/kadre/internal/wire"
)

// Query asks the node at a socket for one view of it, as JSON: "status" (a [Status]), "events", "nodes",
// "memory" (a [Memory]), "objects" (an [ObjectPage]), "fsck" (a [Fsck]), "drain" (which begins it; a [Status]), "tasks", "waits", "workers", "jobs", "groups" and "actors" (a
// [List]), or the latter five of all nodes: "all tasks" and so on. "at NODE VIEW" is what another node says.
func Query(ctx context.Context, socket, what string) ([]byte, error) {
	c, err := Dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c.SetDeadline(time.Now().Add(wire.CallTimeout))
	if err := wire.SendMsg(c, &wire.Hello{Version: wire.Version, Kind: wire.AttachQuery, PID: os.Getpid(), What: what}); err != nil {
		return nil, fmt.Errorf("node: asking the node at %s: %w", socket, err)
	}
	var a wire.Answer
	fds, err := wire.RecvMsg(c, &a)
	wire.CloseFDs(fds)
	if err != nil {
		return nil, fmt.Errorf("node: asking the node at %s: %w", socket, err)
	}
	if a.Err != nil {
		return nil, a.Err
	}
	return a.JSON, nil
}

// Dial connects to the socket of a node.
func Dial(ctx context.Context, socket string) (*net.UnixConn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("node: no node answers at %s: %w", socket, err)
	}
	return c.(*net.UnixConn), nil
}
