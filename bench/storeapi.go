package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/objstore/arena"
)

// checkEvery is how many objects there are for each that another process reads back.
const checkEvery = 1000

// socketEnv names the node that api.Init attaches to.
const socketEnv = "KADRE_SOCKET"

// storeAPI has the same through package api.
func storeAPI() []Scenario {
	row := func(s Scenario) Scenario {
		s.Bench, s.Better, s.Samples, s.Allocs = "store", Lower, 9, true
		s.Work += "; in a driver at a node of another process, and a third process reads back 1 in 1,000"
		return s
	}
	return []Scenario{
		row(Scenario{
			Name: "api-put-1k", Unit: nanoseconds, N: 10_000,
			Work:    "api.Put of 1 KiB of random bytes, of which one changes, and api.Free of the one that was put 1,000 puts ago",
			RefName: "row put-1k",
			Setup: withNode(func(_ context.Context, d *driver) (*Run, error) {
				p := &putter{a: d.a}
				return &Run{Ours: d.puts(1<<10, window, nanoseconds), Ref: p.side(nanoseconds)}, p.fill()
			}),
		}),
		row(Scenario{
			Name: "api-get-1k", Unit: nanoseconds, N: 20_000,
			Work:    "Get of one of 1,000 refs to 1 KiB, in random order, a copy of the bytes",
			RefName: "row get-1k-set",
			Setup: withNode(func(ctx context.Context, d *driver) (*Run, error) {
				s := newSet(smallSet)
				ours, err := gets(ctx, d, func(ctx context.Context, b []byte) (api.Ref[[]byte], error) { return api.Put(ctx, b) },
					func([]byte) {}, readBytes)
				return &Run{Ours: ours, Ref: s.getAll(d.a)}, errors.Join(err, s.put(d.a))
			}),
		}),
		row(Scenario{
			Name: "api-put-1m", Unit: microseconds, N: 200,
			Work:    "api.Put of 1 MiB of random bytes, of which one changes, and api.Free of it",
			RefName: "row put-1m",
			Setup: withNode(func(_ context.Context, d *driver) (*Run, error) {
				store, err := putLarge(d.a)
				if err != nil {
					return nil, err
				}
				return &Run{Ours: d.puts(1<<20, 0, microseconds), Ref: store.Ours, Close: store.Close}, nil
			}),
		}),
		row(Scenario{
			Name: "api-get-array", Unit: nanoseconds, N: 20_000,
			Work:    "Get and Release of one of 1,000 refs to arrays of 1 KiB, in random order, no copy",
			RefName: "row get-1k-set",
			Setup: withNode(func(ctx context.Context, d *driver) (*Run, error) {
				s := newSet(smallSet)
				ours, err := gets(ctx, d, putArray, func(a api.Array[byte]) { a.Release() }, readArray)
				return &Run{Ours: ours, Ref: s.getAll(d.a)}, errors.Join(err, s.put(d.a))
			}),
		}),
	}
}

// nodeChild is a node in a process of its own, until its input ends.
func nodeChild() error {
	return serveNode(os.Getenv("KADRE_BENCH_DIR"))
}

func serveNode(dir string) error {
	n, err := node.Start(context.Background(), node.Config{Cluster: "bench", RuntimeDir: dir, StateDir: filepath.Join(dir, "state"),
		Socket: filepath.Join(dir, "node.sock"), ObjectStoreMemory: storeBytes, NoMDNS: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	fmt.Println("{}")
	io.Copy(io.Discard, os.Stdin)
	return n.Close()
}

// driver is this process, attached to a node, and beside it an arena of its own for the reference.
type driver struct {
	a      *arena.Arena
	ctx    context.Context
	reader api.Actor[reader]
}

// apart is a node in a process of its own, and what else a row has to end.
type apart struct {
	socket string
	pid    int
	ends   []func() error
}

func startApart(ctx context.Context) (_ *apart, err error) {
	dir, err := os.MkdirTemp("", "kadre-bench-")
	if err != nil {
		return nil, err
	}
	n := &apart{socket: filepath.Join(dir, "node.sock"), ends: []func() error{func() error { return os.RemoveAll(dir) }}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	k, err := spawnWith("node", []string{"KADRE_BENCH_DIR=" + dir})
	if err != nil {
		return nil, err
	}
	n.pid, n.ends = k.cmd.Process.Pid, append(n.ends, k.close)
	return n, k.hear(ctx, &answer{})
}

// close ends what was started, the last first.
func (n *apart) close() (err error) {
	for _, end := range slices.Backward(n.ends) {
		err = errors.Join(err, end())
	}
	return err
}

// withApart sets a row up on a node in a process of its own, and ends that with the row.
func withApart(setup func(context.Context, *apart) (*Run, error)) func(context.Context) (*Run, error) {
	return func(ctx context.Context) (*Run, error) {
		n, err := startApart(ctx)
		if err != nil {
			return nil, err
		}
		run, err := setup(ctx, n)
		if err != nil {
			return nil, errors.Join(err, n.close())
		}
		own := run.Close
		run.Close = func() error {
			var err error
			if own != nil {
				err = own()
			}
			return errors.Join(err, n.close())
		}
		return run, nil
	}
}

// withNode sets a row up with a driver of such a node, and with an arena of its own beside.
func withNode(setup func(context.Context, *driver) (*Run, error)) func(context.Context) (*Run, error) {
	return withApart(func(ctx context.Context, n *apart) (*Run, error) {
		rt, err := attachTo(ctx, n.socket)
		if err != nil {
			return nil, err
		}
		n.ends = append(n.ends, rt.Close)
		d := &driver{ctx: rt.With(ctx)}
		d.reader = newReader.Options(api.OwnProcess()).Remote(d.ctx)
		if err := d.reader.Ready(d.ctx); err != nil {
			return nil, err
		}
		return withArena(func(a *arena.Arena) (*Run, error) {
			d.a = a
			return setup(d.ctx, d)
		})(ctx)
	})
}

// attachTo attaches this process to the node at a socket, whatever the environment says.
func attachTo(ctx context.Context, socket string) (*api.Runtime, error) {
	was, had := os.LookupEnv(socketEnv)
	os.Setenv(socketEnv, socket)
	defer func() {
		if os.Unsetenv(socketEnv); had {
			os.Setenv(socketEnv, was)
		}
	}()
	return api.Init(ctx)
}

// reader is an actor in a process of its own that reads what the driver put.
type reader struct{}

var (
	newReader = api.Class0(func(context.Context) (*reader, error) { return &reader{}, nil }, api.RegisterAs("bench.newReader"))
	readBytes = api.Method1((*reader).Bytes)
	readArray = api.Method1((*reader).Array)
)

// Bytes is the sum of a value.
func (*reader) Bytes(_ context.Context, b []byte) (uint64, error) { return xxhash.Sum64(b), nil }

// Array is the sum of an array.
func (*reader) Array(_ context.Context, a api.Array[byte]) (uint64, error) {
	return xxhash.Sum64(a.Data()), nil
}

// readBack has the reader read an object and compares.
func readBack[T any](d *driver, by *api.RemoteMethod1[reader, T, uint64], r api.Ref[T], want uint64) error {
	got, err := by.With(d.ctx, d.reader, r).Get(d.ctx)
	if err == nil && got != want {
		err = fmt.Errorf("another process read bytes with the sum %x, not %x", got, want)
	}
	return err
}

// random fills b, once for a row: each put changes one byte of it.
func random(b []byte) {
	c := rand.NewChaCha8([32]byte{seed})
	c.Read(b)
}

// puts puts objects and frees those that are keep puts old.
func (d *driver) puts(size, keep int, unit string) Side {
	from := make([]byte, size)
	random(from)
	return func(_ context.Context, n int) (float64, error) {
		var took time.Duration
		refs := make([]api.Ref[[]byte], 0, n)
		begin := time.Now()
		for i := range n {
			from[i%size]++
			r, err := api.Put(d.ctx, from)
			if err != nil {
				return 0, err
			}
			refs = append(refs, r)
			if i%checkEvery == checkEvery/2 || size > 1<<19 && i == 0 {
				took += time.Since(begin)
				if err := readBack(d, readBytes, r, xxhash.Sum64(from)); err != nil {
					return 0, err
				}
				begin = time.Now()
			}
			if i >= keep {
				if err := api.Free(d.ctx, refs[i-keep]); err != nil {
					return 0, err
				}
			}
		}
		took += time.Since(begin)
		return perOp(took, n, unit), api.Free(d.ctx, refs[max(0, n-keep):]...)
	}
}

func putArray(ctx context.Context, b []byte) (r api.Ref[api.Array[byte]], err error) {
	a, err := api.ArrayOf(ctx, b)
	if err != nil {
		return r, err
	}
	defer a.Release()
	return api.Put(ctx, a)
}

// gets puts a set of objects, has one of them read back, and gives the side that gets them.
func gets[T any](ctx context.Context, d *driver, put func(context.Context, []byte) (api.Ref[T], error), release func(T), by *api.RemoteMethod1[reader, T, uint64]) (Side, error) {
	refs := make([]api.Ref[T], smallSet)
	b := make([]byte, 1<<10)
	random(b)
	for i := range refs {
		var err error
		b[i%len(b)]++
		if refs[i], err = put(ctx, b); err != nil {
			return nil, err
		}
		if i%checkEvery == 0 {
			if err := readBack(d, by, refs[i], xxhash.Sum64(b)); err != nil {
				return nil, err
			}
		}
	}
	order := newSet(smallSet)
	return func(_ context.Context, n int) (float64, error) {
		begin := time.Now()
		for range n {
			i, _ := order.next()
			v, err := refs[i].Get(d.ctx)
			if err != nil {
				return 0, err
			}
			release(v)
		}
		return perOp(time.Since(begin), n, nanoseconds), nil
	}, nil
}
