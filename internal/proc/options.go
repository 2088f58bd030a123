package proc

import (
	"log/slog"
	"maps"
	"net"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// Options are the wishes of one remote function, class or method.
type Options struct {
	Name       string             // registered name; default: the symbol
	CPU        float64            // CPUs; -1: 1 for tasks, 0 for actors
	Resources  map[string]float64 // other resources; default none
	HeapMemory int64              // bytes beside the object store; 0: it does not say
	Priority   int                // of tasks that wait the higher ones start first
	MaxRetries int                // after failures of the system; -1: DefaultRetries
	OwnProcess bool               // in a process with nothing else in it
	OnNode     id.Node            // on this node; default any
	Soft       bool               // OnNode is a wish
	Group      *Group             // in this placement group; default none
	Bundle     int                // and in this bundle of it
	Labels     map[string]string  // on nodes that have them all; default any
	Spread     bool               // away from the others that ask for it
	Timeout    time.Duration      // of an attempt; 0: none
	Generator  bool               // its results are a stream
	Buffer     int                // items of the stream that may be unread; 0: DefaultBuffer

	ActorName string // of an actor; default none
	Namespace string // where ActorName is unique; default wire.DefaultNamespace
	IfExists  bool   // an actor that has the name already will do
	State     string // of a class: the Go type of the actors' state

	RetryErrors func(error) bool // asked, in this process, whether to try again after an error of the function's own
	Later       error            // an option that is not available yet: what every call gives
}

// DefaultRetries is how often a task runs again after its process or node died.
const DefaultRetries = 3

// NoOptions are the options of who asks for nothing.
func NoOptions() Options { return Options{CPU: -1, MaxRetries: -1} }

// DefaultBuffer is how many items of a stream may be unread, and MaxBuffer the most that may be asked for.
const (
	DefaultBuffer = 64
	MaxBuffer     = 1 << 20
)

func (o *Options) buffer() int {
	if o.Buffer == 0 {
		return DefaultBuffer
	}
	return o.Buffer
}

// managed says that a task goes by its specification also where it stays in this process: it may have another
// attempt, or more results than one.
func (o *Options) managed() bool { return o.Generator || o.RetryErrors != nil }

func (o *Options) retries() int {
	if o.Generator && o.MaxRetries < 0 {
		return 0 // only who asks for it gets a stream that begins again
	}
	if o.MaxRetries < 0 {
		return DefaultRetries
	}
	return o.MaxRetries
}

// milli is the CPU of a task in thousandths.
func (o *Options) milli() uint32 {
	if o.CPU < 0 {
		return 1000
	}
	return uint32(o.CPU*1000 + 0.5)
}

// resources are the named amounts it asks for.
func (o *Options) resources() map[string]float64 {
	if o.HeapMemory == 0 {
		return o.Resources
	}
	all := maps.Clone(o.Resources)
	if all == nil {
		all = map[string]float64{}
	}
	all[wire.Memory] += float64(o.HeapMemory)
	return all
}

func (o *Options) namespace() string {
	if o.Namespace == "" {
		return wire.DefaultNamespace
	}
	return o.Namespace
}

// placed says whether a node has to choose where it runs.
func (o *Options) placed() bool {
	return o.OwnProcess || o.OnNode != "" || o.Group != nil || o.Spread || len(o.Resources) > 0 || len(o.Labels) > 0 || o.HeapMemory > 0
}

// Plain says that a task needs one CPU and nothing else.
func (o *Options) Plain() bool {
	return !o.placed() && !o.managed() && o.Timeout == 0 && o.milli() == 1000 && o.Priority == 0 && o.Later == nil
}

// Config says how a process attaches.
type Config struct {
	Conn        *net.UnixConn // to the node; the process owns it from now on
	Worker      uint64        // the number from KADRE_WORKER_ID; 0: a driver
	Env         []string      // what workers of the job get, NAME=value
	LogToDriver bool          // workers' output goes to this process's stderr
	Isolate     bool          // every task runs in a worker process
	Logger      *slog.Logger  // default slog.Default()
}
