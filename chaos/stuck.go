package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/waits"
)

// stuckRuns is how many healthy runs the plan makes unless told otherwise.
const stuckRuns = 1000

const (
	reportWithin = 5 * time.Second  // what is stuck must be reported by then
	stuckHang    = 60 * time.Second // bounds what must not hang at all
	stuckStart   = 30 * time.Second // for the nodes to find each other
	stuckRole    = "node"           // of the nodes that the plan starts
	gpu          = "gpu"            // a resource of which each node has one
)

// stuckNode is a node in a process that the plan started; it ends with its input.
func stuckNode() error {
	os.Unsetenv(roleEnv) // its workers are none
	var cfg node.Config
	in := bufio.NewReader(os.Stdin)
	if err := json.NewDecoder(in).Decode(&cfg); err != nil {
		return err
	}
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	n, err := node.Start(context.Background(), cfg)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(stuckReady{n.ID(), n.Socket()}); err != nil {
		return err
	}
	io.Copy(io.Discard, in)
	return n.Close()
}

// stuckReady is what such a node says first.
type stuckReady struct {
	ID     id.Node
	Socket string
}

// bed is a cluster of nodes, and the driver of a job on it: this process.
type stuckBed struct {
	dir   string
	nodes []stuckReady
	cmds  []*exec.Cmd
	ins   []io.Closer
	rt    *api.Runtime
}

// stuck is the plan.
func stuck(ctx context.Context, o Options) (err error) {
	o = o.withDefaults()
	if o.Runs == 0 {
		o.Runs = stuckRuns
	}
	fmt.Fprintf(o.Log, "seed %d\n", o.Seed)
	b, err := makeStuckBed(ctx)
	if b != nil {
		defer func() { err = errors.Join(err, b.close()) }()
	}
	if err != nil {
		return err
	}
	ctx = b.rt.With(ctx)
	missed := 0
	for _, c := range stuckCases() {
		took, err := b.try(ctx, &c, time.Duration(float64(reportWithin)*o.Slack))
		if err != nil {
			missed++
			fmt.Fprintf(o.Log, "%-44s MISSED: %v\n", c.name, err)
			continue
		}
		fmt.Fprintf(o.Log, "%-44s %s after %.1f s\n", c.name, c.reported(), took.Seconds())
	}
	before, err := b.reports(ctx)
	if err != nil {
		return err
	}
	long, failed := healthyRuns(ctx, o)
	after, err := b.reports(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Log, "%d healthy runs, %d of them with waits of more than a second: %d reported, %d failed\n", o.Runs, long, after-before, len(failed))
	switch {
	case len(failed) > 0:
		return fmt.Errorf("chaos: healthy runs failed: %w", errors.Join(failed...))
	case after != before:
		return fmt.Errorf("chaos: %d healthy runs were reported as deadlocks", after-before)
	case missed > 0:
		return fmt.Errorf("chaos: %d of what is stuck was not reported within %v", missed, reportWithin)
	}
	return nil
}

func makeStuckBed(ctx context.Context) (b *stuckBed, err error) {
	dir, err := os.MkdirTemp("", "kstuck")
	if err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	b = &stuckBed{dir: dir}
	for i := range 2 {
		cfg := node.Config{Cluster: "stuck", StateDir: filepath.Join(dir, fmt.Sprint("state", i)), CPUs: 2,
			ObjectStoreMemory: 64 << 20, Resources: map[string]float64{gpu: 1, "lathe": 1}}
		if err := b.startNode(cfg); err != nil {
			return b, err
		}
	}
	deadline := time.Now().Add(stuckStart)
	for {
		var nodes []json.RawMessage
		if err := b.ask(ctx, "nodes", &nodes); err == nil && len(nodes) == len(b.nodes) {
			break
		} else if time.Now().After(deadline) {
			return b, fmt.Errorf("chaos: the nodes did not find each other within %v: %d known, %v", stuckStart, len(nodes), err)
		}
		if err := rests(ctx, 10*time.Millisecond); err != nil {
			return b, err
		}
	}
	b.rt, err = b.attach(ctx)
	return b, err
}

// attach makes this process a driver at the first node.
func (b *stuckBed) attach(ctx context.Context) (*api.Runtime, error) {
	os.Setenv("KADRE_SOCKET", b.nodes[0].Socket)
	defer os.Unsetenv("KADRE_SOCKET")
	return api.Init(ctx, api.LogToDriver(false), api.Logger(slog.New(slog.DiscardHandler)))
}

// startNode starts a node that meets no others than those of this bed.
func (b *stuckBed) startNode(cfg node.Config) error {
	cfg.RuntimeDir, cfg.NoMDNS = b.dir, true
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleEnv+"="+stuckRole)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("chaos: starting a node: %w", err)
	}
	b.cmds, b.ins = append(b.cmds, cmd), append(b.ins, in)
	if err := json.NewEncoder(in).Encode(&cfg); err != nil {
		return fmt.Errorf("chaos: starting a node: %w", err)
	}
	var r stuckReady
	if err := json.NewDecoder(out).Decode(&r); err != nil {
		return fmt.Errorf("chaos: starting a node: %w", err)
	}
	b.nodes = append(b.nodes, r)
	return nil
}

func (b *stuckBed) close() (err error) {
	if b.rt != nil {
		err = b.rt.Close()
	}
	for i, cmd := range b.cmds {
		b.ins[i].Close()
		late := time.AfterFunc(stuckHang, func() { cmd.Process.Kill() })
		err = errors.Join(err, cmd.Wait())
		late.Stop()
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// ask asks the driver's node.
func (b *stuckBed) ask(ctx context.Context, view string, v any) error {
	raw, err := node.Query(ctx, b.nodes[0].Socket, view)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// reports is how many deadlocks the nodes have reported.
func (b *stuckBed) reports(ctx context.Context) (n int, err error) {
	for _, at := range b.nodes {
		raw, err := node.Query(ctx, at.Socket, "events")
		if err != nil {
			return 0, err
		}
		var es []trace.Event
		if err := json.Unmarshal(raw, &es); err != nil {
			return 0, err
		}
		for _, e := range es {
			if e.Layer == "wait" {
				n++
			}
		}
	}
	return n, nil
}

// try plants one case, and says after how long it was reported.
func (b *stuckBed) try(ctx context.Context, c *stuckCase, within time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, stuckHang)
	defer cancel()
	work, release := context.WithCancel(ctx) // bounds what was planted
	defer release()
	ref, err := c.plant(work, b)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if c.listed != "" {
		err = b.awaitListed(ctx, c, begun.Add(within))
	} else {
		err = awaitDeadlock(ctx, ref, c, within)
	}
	took := time.Since(begun)
	if c.after != nil {
		c.after()
	}
	return took, err
}

// awaitDeadlock waits for the error, or for the result of what is not stuck.
func awaitDeadlock(ctx context.Context, ref api.Ref[int], c *stuckCase, within time.Duration) error {
	get, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if c.healthy {
		get = ctx
	}
	_, err := ref.Get(get)
	switch {
	case c.healthy:
		return err
	case err == nil:
		return errors.New("it ended, and should be stuck")
	case c.told != "":
		if !c.is(err) {
			return fmt.Errorf("it is no %s: %w", c.told, err)
		}
		return nil
	case !errors.Is(err, api.ErrDeadlock):
		return err
	}
	for _, want := range c.chain {
		if !strings.Contains(err.Error(), want) {
			return fmt.Errorf("the chain does not name %q: %w", want, err)
		}
	}
	return nil
}

// awaitListed waits until the list of what waits says what is waited for.
func (b *stuckBed) awaitListed(ctx context.Context, c *stuckCase, deadline time.Time) error {
	for {
		var l node.List[waits.Row]
		err := b.ask(ctx, "all waits", &l)
		if err != nil {
			return err
		}
		var said []string
		for i := range l.Rows {
			text := l.Rows[i].Why + " " + strings.Join(waits.Chains(l.Rows, &l.Rows[i]), "; ")
			if strings.Contains(l.Rows[i].Func, c.chain[0]) && strings.Contains(text, c.listed) {
				return nil
			}
			said = append(said, l.Rows[i].Func+": "+text)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nothing is listed as waiting for %q, but %q", c.listed, said)
		}
		if err := rests(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func rests(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
