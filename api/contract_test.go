package api_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// The contract: every name that programs use, with its type. That this file compiles is most of the test.

type (
	ctx = context.Context
	a1  struct{ A int }
	a2  string
	a3  []byte
	a4  map[string]float64
	res struct{ Text string }
	st  struct{ made string }
)

func f0(ctx) (res, error)                                   { return said() }
func f1(_ ctx, a a1) (res, error)                           { return said(a) }
func f2(_ ctx, a a1, b a2) (res, error)                     { return said(a, b) }
func f3(_ ctx, a a1, b a2, c a3) (res, error)               { return said(a, b, c) }
func f4(_ ctx, a a1, b a2, c a3, d a4) (res, error)         { return said(a, b, c, d) }
func p0(ctx) error                                          { return saying() }
func p1(_ ctx, a a1) error                                  { return saying(a) }
func p2(_ ctx, a a1, b a2) error                            { return saying(a, b) }
func p3(_ ctx, a a1, b a2, c a3) error                      { return saying(a, b, c) }
func p4(_ ctx, a a1, b a2, c a3, d a4) error                { return saying(a, b, c, d) }
func s0(ctx) iter.Seq2[res, error]                          { return nil }
func s1(ctx, a1) iter.Seq2[res, error]                      { return nil }
func s2(ctx, a1, a2) iter.Seq2[res, error]                  { return nil }
func s3(ctx, a1, a2, a3) iter.Seq2[res, error]              { return nil }
func s4(ctx, a1, a2, a3, a4) iter.Seq2[res, error]          { return nil }
func c0(ctx) (*st, error)                                   { return made() }
func c1(_ ctx, a a1) (*st, error)                           { return made(a) }
func c2(_ ctx, a a1, b a2) (*st, error)                     { return made(a, b) }
func c3(_ ctx, a a1, b a2, c a3) (*st, error)               { return made(a, b, c) }
func c4(_ ctx, a a1, b a2, c a3, d a4) (*st, error)         { return made(a, b, c, d) }
func (s *st) M0(ctx) (res, error)                           { return said(s.made) }
func (s *st) M1(_ ctx, a a1) (res, error)                   { return said(s.made, a) }
func (s *st) M2(_ ctx, a a1, b a2) (res, error)             { return said(s.made, a, b) }
func (s *st) M3(_ ctx, a a1, b a2, c a3) (res, error)       { return said(s.made, a, b, c) }
func (s *st) M4(_ ctx, a a1, b a2, c a3, d a4) (res, error) { return said(s.made, a, b, c, d) }
func (s *st) P0(ctx) error                                  { return saying(s.made) }
func (s *st) P1(_ ctx, a a1) error                          { return saying(s.made, a) }
func (s *st) P2(_ ctx, a a1, b a2) error                    { return saying(s.made, a, b) }
func (s *st) P3(_ ctx, a a1, b a2, c a3) error              { return saying(s.made, a, b, c) }
func (s *st) P4(_ ctx, a a1, b a2, c a3, d a4) error        { return saying(s.made, a, b, c, d) }

func said(args ...any) (res, error) { return res{text(args)}, nil }
func saying(args ...any) error      { return errors.New(text(args)) }
func made(args ...any) (*st, error) { return &st{made: text(args)}, nil }

func text(args []any) string { return fmt.Sprint(args) }

// Section 2: registering.
var (
	fn0 *api.RemoteFunc0[res]                       = api.Func0(f0)
	fn1 *api.RemoteFunc1[a1, res]                   = api.Func1(f1)
	fn2 *api.RemoteFunc2[a1, a2, res]               = api.Func2(f2)
	fn3 *api.RemoteFunc3[a1, a2, a3, res]           = api.Func3(f3)
	fn4 *api.RemoteFunc4[a1, a2, a3, a4, res]       = api.Func4(f4)
	pr0 *api.RemoteFunc0[api.None]                  = api.Proc0(p0)
	pr1 *api.RemoteFunc1[a1, api.None]              = api.Proc1(p1)
	pr2 *api.RemoteFunc2[a1, a2, api.None]          = api.Proc2(p2)
	pr3 *api.RemoteFunc3[a1, a2, a3, api.None]      = api.Proc3(p3)
	pr4 *api.RemoteFunc4[a1, a2, a3, a4, api.None]  = api.Proc4(p4)
	_   *api.RemoteStream0[res]                     = api.Stream0(s0)
	_   *api.RemoteStream1[a1, res]                 = api.Stream1(s1, api.Buffer(8), api.NumCPUs(1))
	_   *api.RemoteStream2[a1, a2, res]             = api.Stream2(s2)
	_   *api.RemoteStream3[a1, a2, a3, res]         = api.Stream3(s3)
	_   *api.RemoteStream4[a1, a2, a3, a4, res]     = api.Stream4(s4)
	cl0 *api.RemoteClass0[st]                       = api.Class0(c0)
	cl1 *api.RemoteClass1[st, a1]                   = api.Class1(c1)
	cl2 *api.RemoteClass2[st, a1, a2]               = api.Class2(c2)
	cl3 *api.RemoteClass3[st, a1, a2, a3]           = api.Class3(c3)
	cl4 *api.RemoteClass4[st, a1, a2, a3, a4]       = api.Class4(c4)
	me0 *api.RemoteMethod0[st, res]                 = api.Method0((*st).M0)
	me1 *api.RemoteMethod1[st, a1, res]             = api.Method1((*st).M1)
	me2 *api.RemoteMethod2[st, a1, a2, res]         = api.Method2((*st).M2)
	me3 *api.RemoteMethod3[st, a1, a2, a3, res]     = api.Method3((*st).M3)
	me4 *api.RemoteMethod4[st, a1, a2, a3, a4, res] = api.Method4((*st).M4)

	mp0 *api.RemoteMethod0[st, api.None]                 = api.MethodProc0((*st).P0)
	mp1 *api.RemoteMethod1[st, a1, api.None]             = api.MethodProc1((*st).P1)
	mp2 *api.RemoteMethod2[st, a1, a2, api.None]         = api.MethodProc2((*st).P2)
	mp3 *api.RemoteMethod3[st, a1, a2, a3, api.None]     = api.MethodProc3((*st).P3)
	mp4 *api.RemoteMethod4[st, a1, a2, a3, a4, api.None] = api.MethodProc4((*st).P4)

	_ = api.Func1(f1, taskOptions...)
	_ = api.Class1(c1, classOptions...)
	_ = api.Method1((*st).M1, methodOptions...)
)

// Options, as the kinds that take them.
var (
	_ = []api.InitOption{api.Join("127.0.0.1:1"), api.Cluster("c"), api.TokenFile("/t"), api.NumCPUs(2),
		api.Resources(map[string]float64{"gpu": 1}), api.Labels(map[string]string{"zone": "a"}),
		api.ObjectStoreMemory(1 << 20), api.Embedded(), api.Logger(slog.Default()), api.LogToDriver(true), api.WorkerEnv("A", "B")}
	taskOptions = []api.TaskOption{api.NumCPUs(0.5), api.Resources(nil), api.MaxRetries(3), api.OwnProcess(), api.OnNode("n", true), api.OnLabels(nil), api.Spread(), api.RegisterAs("f1"),
		api.RetryErrors(func(error) bool { return true }), api.Timeout(time.Second), api.HeapMemory(1), api.Priority(1)}
	_            = []api.PlaceOption{api.InBundle(nil, 0)}
	_            = []api.TaskOption{api.Buffer(1)}
	classOptions = []api.ClassOption{api.NumCPUs(0), api.Resources(nil), api.OnNode("n", false), api.OwnProcess(), api.RegisterAs("c1"), api.HeapMemory(1),
		api.Name("n"), api.Namespace("n"), api.GetIfExists()}
	classLater = map[string]api.ClassOption{
		"Detached": api.Detached(), "MaxRestarts": api.MaxRestarts(1), "MaxTaskRetries": api.MaxTaskRetries(1),
		"MaxConcurrency": api.MaxConcurrency(1), "MaxPendingCalls": api.MaxPendingCalls(1)}
	methodOptions = []api.MethodOption{api.RegisterAs("m1"), api.MaxRetries(1), api.Timeout(time.Second)}
)

// The shapes of functions and methods.
var (
	_ func(ctx, ...api.InitOption) (*api.Runtime, error) = api.Init
	_ func()                                             = api.RunWorker
	_ func(*api.Runtime) ctx                             = (*api.Runtime).Context
	_ func(*api.Runtime, ctx) ctx                        = (*api.Runtime).With
	_ func(*api.Runtime, ctx) error                      = (*api.Runtime).Drain
	_ func(*api.Runtime) <-chan struct{}                 = (*api.Runtime).Done
	_ func(*api.Runtime) error                           = (*api.Runtime).Close

	_ func(*api.RemoteFunc1[a1, res], ctx, a1) api.Ref[res]                                      = (*api.RemoteFunc1[a1, res]).Remote
	_ func(*api.RemoteFunc1[a1, res], ctx, api.Arg[a1]) api.Ref[res]                             = (*api.RemoteFunc1[a1, res]).With
	_ func(*api.RemoteFunc1[a1, res], ...api.TaskOption) *api.RemoteFunc1[a1, res]               = (*api.RemoteFunc1[a1, res]).Options
	_ func(*api.RemoteFunc1[a1, res], ctx, []a1) []api.Ref[res]                                  = (*api.RemoteFunc1[a1, res]).Map
	_ func(*api.RemoteFunc1[a1, res], ctx, []api.Ref[a1]) []api.Ref[res]                         = (*api.RemoteFunc1[a1, res]).MapRefs
	_ func(*api.RemoteFunc2[a1, a2, res], api.Arg[a1]) *api.RemoteFunc1[a2, res]                 = (*api.RemoteFunc2[a1, a2, res]).Bind
	_ func(ctx, []api.Ref[a2], *api.RemoteFunc2[a2, a2, a2]) api.Ref[a2]                         = api.Reduce[a2]
	_ func(*api.RemoteFunc4[a1, a2, a3, a4, res], ctx, a1, a2, a3, a4) api.Ref[res]              = (*api.RemoteFunc4[a1, a2, a3, a4, res]).Remote
	_ func(*api.RemoteClass1[st, a1], ctx, a1) api.Actor[st]                                     = (*api.RemoteClass1[st, a1]).Remote
	_ func(*api.RemoteClass1[st, a1], ctx, api.Arg[a1]) api.Actor[st]                            = (*api.RemoteClass1[st, a1]).With
	_ func(*api.RemoteClass1[st, a1], ...api.ClassOption) *api.RemoteClass1[st, a1]              = (*api.RemoteClass1[st, a1]).Options
	_ func(*api.RemoteMethod1[st, a1, res], ctx, api.Actor[st], a1) api.Ref[res]                 = (*api.RemoteMethod1[st, a1, res]).Remote
	_ func(*api.RemoteMethod1[st, a1, res], ctx, api.Actor[st], api.Arg[a1]) api.Ref[res]        = (*api.RemoteMethod1[st, a1, res]).With
	_ func(*api.RemoteMethod1[st, a1, res], ...api.MethodOption) *api.RemoteMethod1[st, a1, res] = (*api.RemoteMethod1[st, a1, res]).Options
	_ func(*api.RemoteStream1[a1, res], ctx, a1) api.Stream[res]                                 = (*api.RemoteStream1[a1, res]).Remote
	_ func(api.Stream[res], ctx) iter.Seq2[api.Ref[res], error]                                  = api.Stream[res].Refs
	_ func(api.Stream[res], ctx) iter.Seq2[res, error]                                           = api.Stream[res].Values

	_ api.Arg[[]a1]  = api.All([]api.Ref[a1]{})
	_ api.Arg[a1]    = api.Ref[a1]{}
	_ api.Arg[int64] = api.Value[int64](3)

	_ func(ctx, a1, ...api.PutOption) (api.Ref[a1], error)                              = api.Put[a1]
	_ func(ctx, api.Ref[a1]) (a1, error)                                                = api.Get[a1]
	_ func(ctx, []api.Ref[a1]) ([]a1, error)                                            = api.GetAll[a1]
	_ func(ctx, []api.Ref[a1], ...api.WaitOption) ([]api.Ref[a1], []api.Ref[a1], error) = api.Wait[api.Ref[a1]]
	_ func(ctx, []api.AnyRef, ...api.WaitOption) ([]api.AnyRef, []api.AnyRef, error)    = api.Wait[api.AnyRef]
	_ func(ctx, []api.Stream[res]) iter.Seq2[int, api.Stream[res]]                      = api.Completed[api.Stream[res]]
	_ func(ctx, ...api.Ref[a1]) error                                                   = api.Free[api.Ref[a1]]
	_ func(ctx, api.AnyRef, ...api.CancelOption) error                                  = api.Cancel
	_                                                                                   = []api.WaitOption{api.NumReturns(1), api.WithTimeout(time.Second)}
	_                                                                                   = []api.PutOption{api.Replicas(2)}
	_                                                                                   = []api.CancelOption{api.Force(), api.Recursive()}
	_                                                                                   = []api.GetActorOption{api.Namespace("n")}

	_ func(api.Ref[a1], ctx) (a1, error) = api.Ref[a1].Get
	_ func(api.Ref[a1]) api.ObjectID     = api.Ref[a1].ID
	_ func(api.Ref[a1]) bool             = api.Ref[a1].IsZero
	_ func(api.Ref[a1]) string           = api.Ref[a1].String

	_ func(ctx, int) (api.Array[float64], error)       = api.NewArray[float64]
	_ func(ctx, []float64) (api.Array[float64], error) = api.ArrayOf[float64]
	_ func(api.Array[float64]) []float64               = api.Array[float64].Data
	_ func(api.Array[float64]) int                     = api.Array[float64].Len
	_ func(api.Array[float64])                         = api.Array[float64].Release

	_ func(api.Actor[st], ctx) error                                     = api.Actor[st].Kill
	_ func(api.Actor[st], ctx) error                                     = api.Actor[st].Ready
	_ func(api.Actor[st]) api.ActorID                                    = api.Actor[st].ID
	_ func(api.Actor[st]) string                                         = api.Actor[st].String
	_ func(api.Actor[st]) bool                                           = api.Actor[st].IsZero
	_ func(ctx, string, ...api.GetActorOption) (api.Actor[st], error)    = api.GetActor[st]
	_ func(ctx) (api.Actor[st], bool)                                    = api.Self[st]
	_ func(ctx) error                                                    = api.ExitActor
	_ func(ctx) error                                                    = api.Checkpoint
	_ func(ctx) (api.Info, bool)                                         = api.FromContext
	_ func(ctx) *slog.Logger                                             = api.Log
	_ func(ctx) ([]api.NodeInfo, error)                                  = api.Nodes
	_ func(ctx) (map[string]float64, error)                              = api.ClusterResources
	_ func(ctx) (map[string]float64, error)                              = api.AvailableResources
	_ func(ctx) ([]api.ActorInfo, error)                                 = api.ListActors
	_ func(ctx, []api.Bundle, api.Strategy) (*api.PlacementGroup, error) = api.NewPlacementGroup
	_ func(*api.PlacementGroup, ctx) error                               = (*api.PlacementGroup).Ready
	_ func(*api.PlacementGroup, ctx) error                               = (*api.PlacementGroup).Remove
	_ func(...error)                                                     = api.RegisterError
	_ func()                                                             = api.RegisterErrorType[*os1]
	_                                                                    = []api.Strategy{api.StrategyPack, api.StrategySpread, api.StrategyStrictPack, api.StrategyStrictSpread}
	_                                                                    = api.Info{Job: api.JobID("j"), Task: api.TaskID("t"), Actor: api.ActorID{}, Node: api.NodeID("n"), Attempt: 1, PID: 2}
	_                                                                    = api.NodeInfo{ID: "n", Addrs: []string{}, Resources: map[string]float64{}, Available: map[string]float64{}, Labels: map[string]string{}, PID: 1}
	_                                                                    = api.ActorInfo{ID: api.ActorID{}, Name: "", Namespace: "", Class: "", State: "", Node: "", PID: 1}
	_                                                                    = api.Bundle{"CPU": 1}
	_                                                                    = [20]byte(api.ObjectID{})
	_                                                                    = [16]byte(api.ActorID{})

	_ = []error{&api.TaskError{}, &api.WorkerDiedError{}, &api.WorkerStartError{}, &api.ActorDiedError{}, &api.ObjectLostError{}, &api.OutOfMemoryError{},
		&api.UnschedulableError{}, &api.UnavailableError{}, &api.VersionSkewError{}, api.ErrCancelled, api.ErrClosed, api.ErrNoRuntime, api.ErrZero, api.ErrNotFound, api.ErrBusy}
)

type os1 struct{}

func (*os1) Error() string { return "" }

var (
	_ = api.RegisterType[inAny]()
	_ = api.RegisterCodec(func(c coded) ([]byte, error) { return []byte{byte(c.x)}, nil }, func(b []byte) (coded, error) { return coded{int(b[0])}, nil })
)

type inAny struct{ N int }

type coded struct{ x int }

// TestEveryArity calls everything with 0 to 4 arguments, plain and by reference.
func TestEveryArity(t *testing.T) {
	c := start(t)
	a, b, x, y := a1{1}, a2("2"), a3("3"), a4{"4": 5}
	ra, rb, rx, ry := must(api.Put(c, a))(t), must(api.Put(c, b))(t), must(api.Put(c, x))(t), must(api.Put(c, y))(t)
	actors := []api.Actor[st]{cl0.Remote(c), cl1.Remote(c, a), cl2.Remote(c, a, b), cl3.Remote(c, a, b, x), cl4.Remote(c, a, b, x, y)}
	byRef := []api.Actor[st]{cl0.With(c), cl1.With(c, ra), cl2.With(c, ra, rb), cl3.With(c, ra, rb, rx), cl4.With(c, ra, rb, rx, ry)}
	for n, on := range actors {
		args := []any{a, b, x, y}
		made := text(args[:n])
		of := func(n int) string { return text(args[:n]) }
		on2 := byRef[n]
		says := func(refs [2]api.Ref[res], want string) {
			t.Helper()
			for _, r := range refs {
				if got, err := r.Get(c); err != nil || got.Text != want {
					t.Errorf("%q, %v, not %q", got.Text, err, want)
				}
			}
		}
		fails := func(refs [2]api.Ref[api.None], want string) {
			t.Helper()
			for _, r := range refs {
				var te *api.TaskError
				if _, err := r.Get(c); !errors.As(err, &te) || te.Cause.Error() != want {
					t.Errorf("%v, not %q", err, want)
				}
			}
		}
		of2 := func(n int) string { return text(append([]any{made}, args[:n]...)) }
		says([2]api.Ref[res]{me0.Remote(c, on), me0.With(c, on2)}, of2(0))
		says([2]api.Ref[res]{me1.Remote(c, on, a), me1.With(c, on2, ra)}, of2(1))
		says([2]api.Ref[res]{me2.Remote(c, on, a, b), me2.With(c, on2, ra, rb)}, of2(2))
		says([2]api.Ref[res]{me3.Remote(c, on, a, b, x), me3.With(c, on2, ra, rb, rx)}, of2(3))
		says([2]api.Ref[res]{me4.Remote(c, on, a, b, x, y), me4.With(c, on2, ra, rb, rx, ry)}, of2(4))
		fails([2]api.Ref[api.None]{mp0.Remote(c, on), mp0.With(c, on2)}, of2(0))
		fails([2]api.Ref[api.None]{mp1.Remote(c, on, a), mp1.With(c, on2, ra)}, of2(1))
		fails([2]api.Ref[api.None]{mp2.Remote(c, on, a, b), mp2.With(c, on2, ra, rb)}, of2(2))
		fails([2]api.Ref[api.None]{mp3.Remote(c, on, a, b, x), mp3.With(c, on2, ra, rb, rx)}, of2(3))
		fails([2]api.Ref[api.None]{mp4.Remote(c, on, a, b, x, y), mp4.With(c, on2, ra, rb, rx, ry)}, of2(4))
		if n > 0 {
			continue
		}
		says([2]api.Ref[res]{fn0.Remote(c), fn0.With(c)}, of(0))
		says([2]api.Ref[res]{fn1.Remote(c, a), fn1.With(c, ra)}, of(1))
		says([2]api.Ref[res]{fn2.Remote(c, a, b), fn2.With(c, ra, rb)}, of(2))
		says([2]api.Ref[res]{fn3.Remote(c, a, b, x), fn3.With(c, ra, rb, rx)}, of(3))
		says([2]api.Ref[res]{fn4.Remote(c, a, b, x, y), fn4.With(c, ra, rb, rx, ry)}, of(4))
		fails([2]api.Ref[api.None]{pr0.Remote(c), pr0.With(c)}, of(0))
		fails([2]api.Ref[api.None]{pr1.Remote(c, a), pr1.With(c, ra)}, of(1))
		fails([2]api.Ref[api.None]{pr2.Remote(c, a, b), pr2.With(c, ra, rb)}, of(2))
		fails([2]api.Ref[api.None]{pr3.Remote(c, a, b, x), pr3.With(c, ra, rb, rx)}, of(3))
		fails([2]api.Ref[api.None]{pr4.Remote(c, a, b, x, y), pr4.With(c, ra, rb, rx, ry)}, of(4))
	}
}
