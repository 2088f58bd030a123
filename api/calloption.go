package api

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/kadrehq/kadre/internal/embed"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/internal/wire"
)

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

// OnNode runs on one node. If soft, another will do where that node is gone or cannot. If not, a task waits for the node as long
// as that lives, however busy it is; once it is known to be gone the task's error is an *UnschedulableError, also of one that ran
// there.
func OnNode(node NodeID, soft bool) PlaceOption {
	return PlaceOption{func(p *proc.Options) {
		if p.OnNode, p.Soft = id.Node(node), soft; node == "" {
			fail(p, errors.New("kadre: OnNode: the node is empty; take one from Nodes"))
		}
	}}
}

// HeapMemory says how much memory a task or actor needs beside the object store. It is taken from the node's resource
// "memory" while the task runs; one with a process of its own (OwnProcess) that takes more is ended, and its error says so.
func HeapMemory(bytes int64) PlaceOption {
	return PlaceOption{func(p *proc.Options) {
		if p.HeapMemory = bytes; bytes <= 0 {
			fail(p, fmt.Errorf("kadre: HeapMemory(%d) must be above 0", bytes))
		}
	}}
}

// OnLabels runs on nodes that have all of the labels, with these values.
func OnLabels(labels map[string]string) PlaceOption {
	labels = maps.Clone(labels)
	return PlaceOption{func(p *proc.Options) {
		p.Labels = labels
		if _, empty := labels[""]; empty {
			fail(p, errors.New("kadre: OnLabels: a name is empty"))
		} else if len(labels) > wire.MaxResources {
			fail(p, fmt.Errorf("kadre: OnLabels: %d labels: at most %d", len(labels), wire.MaxResources))
		}
	}}
}

// Spread runs on the nodes in turn: where the fewest of those went that ask for it, by the node that they come
// from, whether or not it is busy.
func Spread() PlaceOption { return PlaceOption{func(p *proc.Options) { p.Spread = true }} }

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

// RetryErrors says after which of its own errors a task runs again, or a method is called again, after the calls that came
// meanwhile: retry is asked in the calling
// process, with the error that Get would give, and may be called concurrently. Those retries count for MaxRetries as
// well; they come after 100 ms, then twice as long each time up to 30 s, less up to half of it by chance.
func RetryErrors(retry func(error) bool) RetryOption {
	return RetryOption{func(p *proc.Options) {
		if p.RetryErrors = retry; retry == nil {
			fail(p, errors.New("kadre: RetryErrors: the function is nil"))
		}
	}}
}

// Timeout bounds each attempt, from its start. An attempt that takes longer fails with a *TaskError that is
// context.DeadlineExceeded, and its context ends; it is made again if RetryErrors says so.
func Timeout(d time.Duration) RetryOption {
	return RetryOption{func(p *proc.Options) {
		if p.Timeout = d; d <= 0 {
			fail(p, fmt.Errorf("kadre: Timeout(%v) must be above 0", d))
		}
	}}
}

// maxPriority bounds Priority either way: some 11 days of waiting.
const maxPriority = 1_000_000

// Priority says which of the tasks that wait on a node start first: those with the higher number. The default is 0. For each
// second that a task has waited it counts as one higher, so that none waits for ever. What runs goes on, with all
// that it runs itself while it waits for it.
func Priority(n int) TaskOption {
	return taskOption{func(p *proc.Options) {
		if p.Priority = n; n < -maxPriority || n > maxPriority {
			fail(p, fmt.Errorf("kadre: Priority(%d) must be between %d and %d", n, -maxPriority, maxPriority))
		}
	}}
}

// Buffer says how many items of a stream may be unread before the generator waits in its yield. The default is 64.
func Buffer(n int) TaskOption {
	return taskOption{func(p *proc.Options) {
		switch p.Buffer = n; {
		case !p.Generator:
			fail(p, errors.New("kadre: Buffer is for streams"))
		case n < 1 || n > proc.MaxBuffer:
			fail(p, fmt.Errorf("kadre: Buffer(%d) must be between 1 and %d", n, proc.MaxBuffer))
		}
	}}
}

// Name makes an actor known by a name, which GetActor finds. It is unique among the living actors of its namespace in the
// cluster: where one has it already, the new actor is not made and gives a *NameTakenError, or see GetIfExists.
func Name(name string) ClassOption {
	return classOption{func(p *proc.Options) {
		p.ActorName = name
		if err := wire.CheckName(name); err != nil {
			fail(p, fmt.Errorf("kadre: Name: %w", err))
		}
	}}
}

// Namespace says where an actor's name is unique, for all of the cluster. The default is "default".
func Namespace(name string) NamespaceOption {
	return NamespaceOption{func(p *proc.Options) {
		p.Namespace = name
		if name == "" {
			return // the default one
		}
		if err := wire.CheckName(name); err != nil {
			fail(p, fmt.Errorf("kadre: Namespace: %w", err))
		}
	}}
}

// GetIfExists gives the living actor of the name where there is one, and makes it where there is none. Making it then
// waits, for the node's answer about the name.
func GetIfExists() ClassOption { return classOption{func(p *proc.Options) { p.IfExists = true }} }

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
