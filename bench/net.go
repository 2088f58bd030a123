package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/kadrehq/kadre/internal/testnet"
	"github.com/kadrehq/kadre/p2p"
)

// startFor bounds the start of a process of a row, and waiting for another.
const startFor = 20 * time.Second

// What rows of suite node work on.
const (
	netObject = 1 << 30
	netArena  = netObject + 64<<20
	pings     = 5000
	inflights = 500 * time.Millisecond
)

// netRows has the network: two processes, each with the network layer of a node and its arena.
func netRows() []Scenario {
	const raw = "TLS 1.3 by crypto/tls over TCP between the same two processes: "
	row := func(s Scenario) Scenario {
		s.Bench, s.N = "node", 1
		return s
	}
	return []Scenario{
		row(Scenario{
			Name: "ping", Unit: microseconds, Better: Lower, Samples: 9,
			Work:    "a control frame of 100 bytes to a node in another network namespace and one back, each sent by the handler of the one before; the median of 5,000, the cores kept awake",
			RefName: raw + "a write and a read of 100 bytes",
			Setup:   withPair(pairConfig{awake: true}, pingSide("ping")),
		}),
		row(Scenario{
			Name: "ping-wait", Unit: microseconds, Better: Lower, Samples: 9,
			Work:    "what ping does, by a goroutine that waits for each answer",
			RefName: raw + "a write and a read of 100 bytes",
			Setup:   withPair(pairConfig{awake: true}, pingSide("ping-wait")),
		}),
		row(Scenario{
			Name: "inflight-1000", Unit: perSecond, Better: Higher, Samples: 9,
			Work:    "1,000 calls of 100 bytes under way at a node in another network namespace for 500 ms, each with a callback",
			RefName: raw + "1,000 messages of 100 bytes under way, what gathers written together",
			Setup:   withPair(pairConfig{}, inflightSide),
		}),
		row(Scenario{
			Name: "bulk-1g", Unit: gibPerSecond, Better: Higher, Samples: 5,
			Work:    "pulls an object of 1 GiB from the arena of a node in another network namespace into this one's, each chunk checked by its CRC",
			RefName: raw + "the same bytes written by 1 MiB and read into the same arena, unchecked",
			Setup:   withPair(pairConfig{arena: true}, bulkSide(false, tlsOf)),
		}),
		row(Scenario{
			Name: "bulk-1g-cpu", Unit: "s/GiB", Better: Lower, Samples: 5,
			Work:    "the CPU time of both processes for what bulk-1g does",
			RefName: raw + "the CPU time of both processes",
			Setup:   withPair(pairConfig{arena: true}, bulkSide(true, tlsOf)),
		}),
		row(Scenario{
			Name: "unix-1g", Unit: gibPerSecond, Better: Higher, Samples: 5,
			Work:    "pulls an object of 1 GiB from the arena of another node of the same machine and network namespace",
			RefName: "a unix socket between the same two processes: the same bytes written by 1 MiB and read into the same arena, unchecked",
			Setup:   withPair(pairConfig{arena: true, local: true}, bulkSide(false, unixOf)),
		}),
	}
}

const gibPerSecond = "GiB/s"

func tlsOf(a netAnswer) string  { return a.TLS }
func unixOf(a netAnswer) string { return a.Unix }

func pingSide(ours string) func(*pair) (*Run, error) {
	return func(p *pair) (*Run, error) { return pingSides(p, ours) }
}

func pingSides(p *pair, ours string) (*Run, error) {
	side := func(do string) Side {
		return func(ctx context.Context, _ int) (float64, error) {
			v, err := p.ask(ctx, netOrder{Do: do, Peer: p.serverIs.ID, Addr: p.serverIs.TLS, N: pings})
			return v / float64(unitLen[microseconds]), err
		}
	}
	return &Run{Ours: side(ours), Ref: side("ping-ref")}, nil
}

func inflightSide(p *pair) (*Run, error) {
	side := func(do string) Side {
		return func(ctx context.Context, _ int) (float64, error) {
			return p.ask(ctx, netOrder{Do: do, Peer: p.serverIs.ID, Addr: p.serverIs.TLS, For: inflights})
		}
	}
	return &Run{Ours: side("inflight"), Ref: side("inflight-ref")}, nil
}

// bulkSide measures speed, or CPU time, of the object's way.
func bulkSide(cpu bool, refAt func(netAnswer) string) func(*pair) (*Run, error) {
	return func(p *pair) (*Run, error) {
		if err := p.server.ask(context.Background(), netOrder{Do: "fill", N: netObject}, &netAnswer{}); err != nil {
			return nil, err
		}
		side := func(do string) Side {
			return func(ctx context.Context, _ int) (float64, error) {
				before, err := p.cpu(ctx)
				if err != nil {
					return 0, err
				}
				took, err := p.ask(ctx, netOrder{Do: do, Peer: p.serverIs.ID, Addr: refAt(p.serverIs), N: netObject})
				if err != nil {
					return 0, err
				}
				after, err := p.cpu(ctx)
				const gib = float64(netObject) / (1 << 30)
				if cpu {
					return (after - before) / gib, err
				}
				return gib / took, err
			}
		}
		return &Run{Ours: side("bulk"), Ref: side("bulk-ref")}, nil
	}
}

// pairConfig says what two processes are.
type pairConfig struct {
	awake bool // cores are
	arena bool // each has one
	local bool // both in this network namespace
}

// pair is two processes with a node's network each, that have met.
type pair struct {
	asker, server *child
	serverIs      netAnswer
	extra         map[string]any
	ends          []func() error
}

func (p *pair) ask(ctx context.Context, o netOrder) (float64, error) {
	var a netAnswer
	err := p.asker.ask(ctx, o, &a)
	return a.Value, err
}

// cpu is the CPU time of both processes so far.
func (p *pair) cpu(ctx context.Context) (float64, error) {
	var a, b netAnswer
	err := errors.Join(p.asker.ask(ctx, netOrder{Do: "cpu"}, &a), p.server.ask(ctx, netOrder{Do: "cpu"}, &b))
	return a.Value + b.Value, err
}

func (p *pair) close() (err error) {
	for i := len(p.ends) - 1; i >= 0; i-- {
		err = errors.Join(err, p.ends[i]())
	}
	return err
}

// withPair sets a row up with two processes.
func withPair(cfg pairConfig, setup func(*pair) (*Run, error)) func(context.Context) (*Run, error) {
	return func(ctx context.Context) (_ *Run, err error) {
		p := &pair{extra: map[string]any{}}
		defer func() {
			if err != nil {
				err = errors.Join(err, p.close())
			}
		}()
		if err := p.start(ctx, cfg); err != nil {
			return nil, err
		}
		run, err := setup(p)
		if err != nil {
			return nil, err
		}
		run.Extra, run.Close = p.extra, p.close
		return run, nil
	}
}

func (p *pair) start(ctx context.Context, cfg pairConfig) error {
	dir, err := os.MkdirTemp("", "kadre-bench-")
	if err != nil {
		return err
	}
	p.ends = append(p.ends, func() error { return os.RemoveAll(dir) })
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(p2p.NewToken()+"\n"), 0o600); err != nil {
		return err
	}
	ns, ips := [2]*testnet.Namespace{}, [2]string{"127.0.0.1", "127.0.0.1"}
	p.extra["network"] = "one network namespace"
	switch {
	case cfg.local:
	case os.Geteuid() != 0:
		p.extra["network"] = "loopback: making network namespaces takes root"
	default:
		b, err := testnet.NewBridge(ctx, 2)
		if err != nil {
			return err
		}
		p.ends = append(p.ends, b.Close)
		for i, s := range b.Spaces {
			ns[i], ips[i] = s, s.IP.String()
		}
		p.extra["network"] = "two network namespaces on a bridge"
	}
	if cfg.awake {
		end, err := keepAwake()
		if err != nil {
			return err
		}
		p.ends = append(p.ends, end)
	}
	o := netOrder{Do: "start", Token: token}
	if cfg.arena {
		o.Bytes = netArena
	}
	if cfg.local {
		o.Runtime = filepath.Join(dir, "run")
	}
	return p.meet(ctx, dir, o, ns, ips)
}

// meet starts both processes; the asker joins the server.
func (p *pair) meet(ctx context.Context, dir string, o netOrder, ns [2]*testnet.Namespace, ips [2]string) error {
	var is [2]netAnswer
	for i, c := range [...]**child{&p.server, &p.asker} {
		o.Dir, o.IP = filepath.Join(dir, ips[i]+"-"+string(rune('a'+i))), ips[i]
		for _, d := range []string{o.Dir, o.Runtime} {
			if d != "" {
				if err := os.MkdirAll(d, 0o700); err != nil {
					return err
				}
			}
		}
		k, err := spawnIn(ns[i], "net", nil)
		if err != nil {
			return err
		}
		*c = k
		p.ends = append(p.ends, k.close)
		if err := k.ask(ctx, o, &is[i]); err != nil {
			return err
		}
		o.Join = is[0].Addrs
	}
	p.serverIs = is[0]
	var met netAnswer
	err := p.asker.ask(ctx, netOrder{Do: "met", Peer: is[0].ID}, &met)
	p.extra["via"] = met.Via
	return err
}
