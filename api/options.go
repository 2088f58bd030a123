package api

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"time"

	"github.com/kadrehq/kadre/internal/embed"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/proc"
)

// What options are for. One that fits several kinds is of an exported type that implements each.
type (
	// InitOption is an option of Init.
	InitOption interface{ applyInit(*embed.Options) error }
	// TaskOption is an option of Func, Proc and Stream.
	TaskOption interface{ applyTask(*proc.Options) }
	// ClassOption is an option of Class.
	ClassOption interface{ applyClass(*proc.Options) }
	// MethodOption is an option of Method and MethodProc.
	MethodOption interface{ applyMethod(*proc.Options) }
	// PutOption is an option of Put.
	PutOption interface{ putError() error }
	// WaitOption is an option of Wait.
	WaitOption interface{ applyWait(*waitOptions) }
	// CancelOption is an option of Cancel.
	CancelOption interface{ cancelOption() }
	// GetActorOption is an option of GetActor.
	GetActorOption interface{ getActorOption() }
)

type (
	// ResourceOption says what a node has, or what a task or actor needs.
	ResourceOption struct {
		node func(*embed.Options) error
		call change
	}
	// PlaceOption says where tasks and actors run.
	PlaceOption struct{ call change }
	// NameOption gives the registered name of a function, class or method.
	NameOption struct{ call change }
	// RetryOption says when a call is given up or made again.
	RetryOption struct{ call change }
	// NamespaceOption says where an actor's name is unique.
	NamespaceOption struct{ call change }

	nodeOption  func(*embed.Options) error
	taskOption  struct{ call change }
	classOption struct{ call change }
	change      func(*proc.Options)
)

func (o nodeOption) applyInit(e *embed.Options) error     { return o(e) }
func (o ResourceOption) applyInit(e *embed.Options) error { return o.node(e) }
func (o ResourceOption) applyTask(p *proc.Options)        { o.call(p) }
func (o ResourceOption) applyClass(p *proc.Options)       { o.call(p) }
func (o PlaceOption) applyTask(p *proc.Options)           { o.call(p) }
func (o PlaceOption) applyClass(p *proc.Options)          { o.call(p) }
func (o NameOption) applyTask(p *proc.Options)            { o.call(p) }
func (o NameOption) applyClass(p *proc.Options)           { o.call(p) }
func (o NameOption) applyMethod(p *proc.Options)          { o.call(p) }
func (o RetryOption) applyTask(p *proc.Options)           { o.call(p) }
func (o RetryOption) applyMethod(p *proc.Options)         { o.call(p) }
func (o NamespaceOption) applyClass(p *proc.Options)      { o.call(p) }
func (o NamespaceOption) getActorOption()                 {}
func (o taskOption) applyTask(p *proc.Options)            { o.call(p) }
func (o classOption) applyClass(p *proc.Options)          { o.call(p) }

// applying gives the change that a list of options makes.
func applying[O any](opts []O, apply func(O, *proc.Options)) func(*proc.Options) {
	return func(p *proc.Options) {
		for _, o := range opts {
			apply(o, p)
		}
	}
}

func taskChange(opts []TaskOption) func(*proc.Options) { return applying(opts, TaskOption.applyTask) }

// fail makes the calls fail that use p; the first reason counts.
func fail(p *proc.Options, err error) {
	if p.Later == nil {
		p.Later = err
	}
}

// notYet is the change of an option of a later release.
func notYet(name string) change { return func(p *proc.Options) { fail(p, later(name)) } }

// Embedded starts a node in this process, whatever else lives on the machine. It may run many times in one
// process.
func Embedded() InitOption {
	return nodeOption(func(e *embed.Options) error { e.Embedded = true; return nil })
}

// Join gives addresses of nodes of the cluster to join: multiaddrs, or host:port.
func Join(addrs ...string) InitOption {
	return nodeOption(func(e *embed.Options) error {
		for _, a := range addrs {
			if a == "" {
				return errors.New("kadre: Join: an address is empty")
			}
		}
		e.Join = append(e.Join, addrs...)
		return nil
	})
}

// Cluster chooses the cluster to attach to or to be a node of. The default is "default".
func Cluster(name string) InitOption {
	return text("Cluster", name, func(e *embed.Options) { e.Cluster = name })
}

// TokenFile names the file with the cluster's token.
func TokenFile(path string) InitOption {
	return text("TokenFile", path, func(e *embed.Options) { e.TokenFile = path })
}

func text(option, value string, set func(*embed.Options)) InitOption {
	return nodeOption(func(e *embed.Options) error {
		if value == "" {
			return fmt.Errorf("kadre: %s(\"\") is empty", option)
		}
		set(e)
		return nil
	})
}

// Labels describe the node.
func Labels(labels map[string]string) InitOption {
	labels = maps.Clone(labels)
	return nodeOption(func(e *embed.Options) error {
		for k := range labels {
			if k == "" {
				return errors.New("kadre: Labels: a name is empty")
			}
		}
		e.Labels = labels
		return nil
	})
}

// ObjectStoreMemory is the size of the node's object store.
func ObjectStoreMemory(bytes int64) InitOption {
	return nodeOption(func(e *embed.Options) error {
		if bytes <= 0 {
			return fmt.Errorf("kadre: ObjectStoreMemory(%d) must be above 0", bytes)
		}
		e.ObjectStoreMemory = bytes
		return nil
	})
}

// Logger gets what the runtime has to say in this process. The default is slog.Default().
func Logger(l *slog.Logger) InitOption {
	return nodeOption(func(e *embed.Options) error { e.Logger = l; return nil })
}

// LogToDriver says whether what workers write comes to this process's standard error. The default is true.
func LogToDriver(on bool) InitOption {
	return nodeOption(func(e *embed.Options) error { e.LogToDriver = &on; return nil })
}

// WorkerEnv names variables of this process's environment that worker processes get.
func WorkerEnv(names ...string) InitOption {
	return nodeOption(func(e *embed.Options) error {
		for _, n := range names {
			if n == "" {
				return errors.New("kadre: WorkerEnv: a name is empty")
			}
		}
		e.WorkerEnv = append(e.WorkerEnv, names...)
		return nil
	})
}

// maxCPUs bounds NumCPUs, far above any machine.
const maxCPUs = 1 << 20

// NumCPUs says how many CPUs a node has, or a task or actor needs; for the latter a fraction or 0 may do. The
// defaults are all CPUs for a node, 1 for a task, 0 for an actor.
func NumCPUs(n float64) ResourceOption {
	var err error
	if !(n >= 0 && n <= maxCPUs) { // also NaN
		err = fmt.Errorf("kadre: NumCPUs(%v) must be between 0 and %d", n, maxCPUs)
	}
	return ResourceOption{
		node: func(e *embed.Options) error {
			if err == nil && n == 0 {
				return errors.New("kadre: NumCPUs(0): a node needs CPUs; leave the option out for all of them")
			}
			e.NumCPUs = n
			return err
		},
		call: func(p *proc.Options) {
			if p.CPU = n; err != nil {
				fail(p, err)
			}
		},
	}
}

// Resources are named amounts that a node has, or that a task or actor needs.
func Resources(amounts map[string]float64) ResourceOption {
	amounts = maps.Clone(amounts)
	err := checkResources(amounts)
	return ResourceOption{
		node: func(e *embed.Options) error { e.Resources = amounts; return err },
		call: func(p *proc.Options) {
			if p.Resources = amounts; err != nil {
				fail(p, err)
			}
		},
	}
}

func checkResources(amounts map[string]float64) error {
	for k, n := range amounts {
		switch {
		case k == "":
			return errors.New("kadre: Resources: a name is empty")
		case k == "CPU":
			return errors.New("kadre: Resources: use NumCPUs for CPU")
		case !(n >= 0) || math.IsInf(n, 1): // also NaN
			return fmt.Errorf("kadre: Resources: %s: %v is no amount; give 0 or more", k, n)
		}
	}
	return nil
}

// OwnProcess runs tasks in a process with nothing else in it, and an actor in one of its own.
func OwnProcess() PlaceOption { return PlaceOption{func(p *proc.Options) { p.OwnProcess = true }} }

// OnNode runs on one node. If soft, another will do where that node is gone or cannot.
func OnNode(node NodeID, soft bool) PlaceOption {
	return PlaceOption{func(p *proc.Options) {
		if p.OnNode, p.Soft = id.Node(node), soft; node == "" {
			fail(p, errors.New("kadre: OnNode: the node is empty; take one from Nodes"))
		}
	}}
}

// HeapMemory will say how much of Go's heap a task needs.
func HeapMemory(bytes int64) PlaceOption { return PlaceOption{notYet("HeapMemory")} }

// OnLabels will run on nodes that have the labels.
func OnLabels(labels map[string]string) PlaceOption { return PlaceOption{notYet("OnLabels")} }

// Spread will run on as many nodes as there are.
func Spread() PlaceOption { return PlaceOption{notYet("Spread")} }

// InBundle will run on bundle i of a placement group.
func InBundle(pg *PlacementGroup, i int) PlaceOption { return PlaceOption{notYet("InBundle")} }

// RegisterAs is the name under which a function, class or method is registered, instead of its symbol.
func RegisterAs(name string) NameOption {
	return NameOption{func(p *proc.Options) {
		if p.Name = name; name == "" {
			fail(p, errors.New("kadre: RegisterAs: the name is empty"))
		}
	}}
}

// MaxRetries says how often a call is made again after its process or node died. The default is 3.
func MaxRetries(n int) RetryOption {
	return RetryOption{func(p *proc.Options) {
		if p.MaxRetries = n; n < 0 || n > math.MaxInt32 {
			fail(p, fmt.Errorf("kadre: MaxRetries(%d) must be between 0 and %d", n, math.MaxInt32))
		}
	}}
}

// RetryErrors will say which of the function's own errors make a call be made again.
func RetryErrors(retry func(error) bool) RetryOption { return RetryOption{notYet("RetryErrors")} }

// Timeout will bound each attempt.
func Timeout(d time.Duration) RetryOption { return RetryOption{notYet("Timeout")} }

// Priority will put tasks before those of lower priority.
func Priority(n int) TaskOption { return taskOption{notYet("Priority")} }

// Buffer will bound the items of a stream that nobody has read.
func Buffer(n int) TaskOption { return taskOption{notYet("Buffer")} }

// Name will make an actor known by a name, unique among the living actors of its namespace.
func Name(name string) ClassOption { return classOption{notYet("Name")} }

// Namespace will say where an actor's name is unique.
func Namespace(name string) NamespaceOption { return NamespaceOption{notYet("Namespace")} }

// GetIfExists will give the living actor of the name, where there is one.
func GetIfExists() ClassOption { return classOption{notYet("GetIfExists")} }

// Detached will let an actor outlive its job.
func Detached() ClassOption { return classOption{notYet("Detached")} }

// MaxRestarts will say how often an actor is started again.
func MaxRestarts(n int) ClassOption { return classOption{notYet("MaxRestarts")} }

// MaxTaskRetries will say how often a call is made again after its actor was started again.
func MaxTaskRetries(n int) ClassOption { return classOption{notYet("MaxTaskRetries")} }

// MaxConcurrency will say how many calls of an actor run at once.
func MaxConcurrency(n int) ClassOption { return classOption{notYet("MaxConcurrency")} }

// MaxPendingCalls will bound the calls that wait for an actor.
func MaxPendingCalls(n int) ClassOption { return classOption{notYet("MaxPendingCalls")} }

type putOption struct{ err error }

func (o putOption) putError() error { return o.err }

// Replicas will keep n copies of an object.
func Replicas(n int) PutOption { return putOption{later("Replicas")} }

type cancelOption struct{}

func (cancelOption) cancelOption() {}

// Force will end the task's process where it has one.
func Force() CancelOption { return cancelOption{} }

// Recursive will cancel what the task has started, too.
func Recursive() CancelOption { return cancelOption{} }

type waitOptions struct {
	n       int           // how many are wanted
	timeout time.Duration // -1: none
}

type waitOption func(*waitOptions)

func (o waitOption) applyWait(w *waitOptions) { o(w) }

// NumReturns says how many refs Wait waits for. The default is 1.
func NumReturns(n int) WaitOption { return waitOption(func(w *waitOptions) { w.n = n }) }

// WithTimeout bounds Wait. Running out of it is no error.
func WithTimeout(d time.Duration) WaitOption {
	return waitOption(func(w *waitOptions) { w.timeout = max(d, 0) })
}
