package testnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Port is where every node listens, on its own address.
const Port = 7420

// storeBytes is the size of a node's arena unless the Config says another.
const storeBytes = "32MiB"

// exeEnv names the command kadre where this executable is another: in tests.
const exeEnv = "KADRE_TESTNET_EXE"

// Config says what a Net is.
type Config struct {
	Nodes int       // how many; at most MaxNodes
	Exe   string    // the command kadre; default: what $KADRE_TESTNET_EXE names, else this executable
	Store string    // the size of a node's arena, as `kadre start` takes it; default: 32MiB
	Args  []string  // further flags of `kadre start`
	Env   []string  // further variables
	Log   io.Writer // gets what happens, for people; default: nowhere
}

// Net is a bridge with nodes on it.
type Net struct {
	Nodes []*Node

	cfg    Config
	dir    string
	token  string // file
	bridge *Bridge
}

// New makes the namespaces, a folder and a token; no node runs yet. Close removes all.
func New(ctx context.Context, cfg Config) (_ *Net, err error) {
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	if cfg.Store == "" {
		cfg.Store = storeBytes
	}
	if cfg.Exe == "" {
		cfg.Exe = os.Getenv(exeEnv)
	}
	if cfg.Exe == "" {
		if cfg.Exe, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("testnet: %w", err)
		}
	}
	n := &Net{cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	n.logf("making %d network namespaces", cfg.Nodes)
	if n.bridge, err = NewBridge(ctx, cfg.Nodes); err != nil {
		return nil, err
	}
	if n.dir, err = os.MkdirTemp("", fmt.Sprintf("%s%d-", prefix, os.Getpid())); err != nil {
		return nil, fmt.Errorf("testnet: %w", err)
	}
	out, err := exec.CommandContext(ctx, cfg.Exe, "token", "new").Output()
	if err != nil {
		return nil, fmt.Errorf("testnet: %s token new: %w", cfg.Exe, err)
	}
	n.token = filepath.Join(n.dir, "token")
	if err := os.WriteFile(n.token, out, 0o600); err != nil {
		return nil, fmt.Errorf("testnet: %w", err)
	}
	for i, ns := range n.bridge.Spaces {
		d := &Node{Name: "node " + strconv.Itoa(i), NS: ns, net: n, dir: filepath.Join(n.dir, strconv.Itoa(i))}
		if err := os.MkdirAll(filepath.Join(d.dir, "run"), 0o700); err != nil {
			return nil, fmt.Errorf("testnet: %w", err)
		}
		n.Nodes = append(n.Nodes, d)
	}
	return n, nil
}

// Start runs all nodes: the first, and when it serves the others, which join it.
func (n *Net) Start(ctx context.Context) error {
	begin := time.Now()
	if err := n.Nodes[0].Start(ctx); err != nil {
		return err
	}
	errs := Each(n.Nodes[1:], func(_ int, d *Node) error { return d.Start(ctx, "--join", n.Nodes[0].Addr()) })
	if errs == nil {
		n.logf("%d nodes serve after %.1f s", len(n.Nodes), time.Since(begin).Seconds())
	}
	return errs
}

// Close ends all nodes at once and removes everything.
func (n *Net) Close() (err error) {
	for _, d := range n.Nodes {
		d.signal()
	}
	for _, d := range n.Nodes {
		d.Kill()
	}
	if n.bridge != nil {
		err = n.bridge.Close()
	}
	if n.dir != "" {
		err = errors.Join(err, os.RemoveAll(n.dir))
	}
	return err
}

func (n *Net) logf(format string, args ...any) { fmt.Fprintf(n.cfg.Log, format+"\n", args...) }
