package embed

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"

	"github.com/kadrehq/kadre/internal/node"
)

// Options are what a program asked for when it started its runtime. Zero fields were not given.
type Options struct {
	Embedded bool // never look for a node

	// Cluster chooses the cluster to attach to or to join. Default: KADRE_CLUSTER, else "default".
	Cluster string

	// For a node of this process's own. Each but those from variables is an error when attaching.
	Join              []string
	TokenFile         string
	NumCPUs           float64
	Resources         map[string]float64
	Labels            map[string]string
	ObjectStoreMemory int64

	// For this process.
	Logger      *slog.Logger
	LogToDriver *bool
	WorkerEnv   []string
}

// Conn is a connection to a node over which this process can attach.
type Conn struct {
	Conn    *net.UnixConn
	Node    *node.Node // nil unless it was started here; then whoever closes the process closes it afterwards
	Cluster string
	Socket  string
}

// Open connects to the node named by KADRE_SOCKET, else to the oldest living node of the cluster in the
// user's runtime folder, else to a node that it starts in this process. ctx bounds it.
func Open(ctx context.Context, o Options) (*Conn, error) {
	cluster := o.Cluster
	if cluster == "" {
		cluster = os.Getenv("KADRE_CLUSTER")
	}
	if cluster == "" {
		cluster = "default"
	}
	if o.Embedded {
		return start(ctx, o)
	}
	socket, found := os.Getenv("KADRE_SOCKET"), "named by KADRE_SOCKET"
	if socket == "" {
		var err error
		if socket, err = node.FindNode(cluster); err != nil {
			return nil, err
		}
		found = fmt.Sprintf("found in cluster %q", cluster)
	}
	if socket == "" {
		return start(ctx, o)
	}
	if name := o.nodeOption(); name != "" {
		return nil, fmt.Errorf("kadre: %s is for a node that is started in this process, but one is running already (%s, at %s): leave the option out, give it to `kadre start`, or use Embedded()", name, found, socket)
	}
	c, err := node.Dial(ctx, socket)
	if err != nil {
		return nil, fmt.Errorf("kadre: attaching to the node %s: %w", found, err)
	}
	return &Conn{Conn: c, Cluster: cluster, Socket: socket}, nil
}

// nodeOption names a given option that only a node has use for.
func (o *Options) nodeOption() string {
	switch {
	case len(o.Join) > 0:
		return "Join"
	case o.TokenFile != "":
		return "TokenFile"
	case o.NumCPUs != 0:
		return "NumCPUs"
	case o.Resources != nil:
		return "Resources"
	case o.Labels != nil:
		return "Labels"
	case o.ObjectStoreMemory != 0:
		return "ObjectStoreMemory"
	}
	return ""
}

// start runs a node in this process. It is private unless it was told of a cluster.
func start(ctx context.Context, o Options) (*Conn, error) {
	cfg, err := config(o)
	if err != nil {
		return nil, err
	}
	n, err := node.Start(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("kadre: starting a node in this process: %w", err)
	}
	ours, its, err := socketPair()
	if err == nil {
		err = n.Attach(its)
	}
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("kadre: attaching to the node in this process: %w", err)
	}
	return &Conn{Conn: ours, Node: n, Cluster: cfg.Cluster, Socket: n.Socket()}, nil
}

func socketPair() (a, b *net.UnixConn, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	if a, err = unixConn(fds[0]); err != nil {
		syscall.Close(fds[1])
		return nil, nil, err
	}
	if b, err = unixConn(fds[1]); err != nil {
		a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

func unixConn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "socketpair")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}
