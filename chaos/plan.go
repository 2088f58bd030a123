package chaos

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/testnet"
)

// Plan is one way to break things.
type Plan struct {
	Name string
	Does string // in words: what is broken, and what must hold
	Run  func(ctx context.Context, o Options) error
}

// Options say how hard a plan tries. What a plan does not name in its text it does not look at.
type Options struct {
	Kills    int           // store-kill: how many processes are killed; default [DefaultKills]
	Runs     int           // worker-kill, stuck: how many runs; default: the plan's
	Seed     uint64        // of the random choices
	Nodes    int           // silent-death, partition: how many; default: the plan's
	Memory   int64         // memory-hog: bytes that workers may take together; default: the plan's
	Share    int           // silent-death: percent of the nodes that die; default [DefaultShare]
	Busy     time.Duration // silent-death: how long all CPUs are kept busy before more die; default [DefaultBusy]
	Split    time.Duration // partition: how long; default [DefaultSplit]
	Slack    float64       // what times are held to, so many times; default 1
	Log      io.Writer     // gets what was found, for people; default: nowhere
	Progress io.Writer     // gets what is being done; default: nowhere

	brief bool // of tests: a part of a plan, seconds
}

// Defaults of the options.
const (
	DefaultKills = 300
	DefaultRuns  = 20
	DefaultShare = 30
	DefaultBusy  = time.Minute
	DefaultSplit = 30 * time.Second
)

// Bounds of the options.
const (
	MaxKills = 1_000_000
	MaxRuns  = 1_000_000
	MinNodes = 4
	MaxNodes = testnet.MaxNodes
	MinShare = 1
	MaxShare = 50 // most of the nodes have to live
	// MinMemory is what the workers of memory-hog need to be there at all.
	MinMemory = 100 << 20
	MaxSlack  = 100
)

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Busy, DefaultBusy)
	set(&o.Split, DefaultSplit)
	if o.Kills == 0 {
		o.Kills = DefaultKills
	}
	if o.Share == 0 {
		o.Share = DefaultShare
	}
	if o.Slack == 0 {
		o.Slack = 1
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

// Plans is the table.
func Plans() []Plan {
	return []Plan{{
		Name: "store-kill",
		Does: "kills processes that put, get, delete and wait for objects in one arena, half of them at random and half at chosen points of " +
			"the store, such as between a seal and the wake-up of who waits for it; after each kill the others " +
			"rest, and what they say they hold must be all that is held: no leak, no corrupt byte, nobody left asleep, every invariant",
		Run: storeKill,
	}, {
		Name: "silent-death",
		Does: "drops every packet of --share percent of --nodes nodes (40), each in a network namespace of its own, so that they die without " +
			"a word; the others must find that out, p50 within 4 s and p99 within 8 s, and 5 s later write to the directory and miss in it, " +
			"p99 within 1 s; the same with all CPUs kept busy, for --busy before, in which no living node may be taken for dead; last " +
			"only half of the nodes lose the others, and their lookups must stay within 50 ms, p99, while the rest still name the dead. Needs root",
		Run: silentDeath,
	}, {
		Name: "partition",
		Does: "cuts a cluster of --nodes nodes (60), each in a network namespace of its own, into halves for --split, and heals it; all must " +
			"have one view again within 10 s, and every object that both halves held must still be there and be found from all sides. Needs root",
		Run: partition,
	}, {
		Name: "worker-kill",
		Does: "in each of --runs runs submits tasks of several kinds that all run in a worker process, and kills that at random; " +
			"every result must be right, and a task without retries must have started at most once",
		Run: workerKill,
	}, {
		Name: "memory-hog",
		Does: "runs tasks that take memory without end, slowly, as fast as it goes, all at once, several at a time, on a node whose workers may take " +
			"--memory together (2 GiB); each must end with an error that names it, its memory and the limit, all workers together must not take much " +
			"more, and another job's tasks and actor on that node must go on as if nothing were",
		Run: memoryHog,
	}, {
		Name: "stuck",
		Does: "plants deadlocks and starvation on two nodes: actors and tasks that wait for each other, in a process, in several and on both nodes, " +
			"for arguments, for resources that the other one holds or somebody for ever, a stream that nobody reads, a process that is stopped and has its ring full, " +
			"a store that is kept full, a label that no node has; each must be reported " +
			"within 5 s with its chain, or be listed as waiting for what it lacks; then makes --runs random runs (1000) that wait long and " +
			"in many ways and end, of which none may be reported",
		Run: stuck,
	}}
}

// Find gives the plan of a name.
func Find(name string) (Plan, error) {
	var names []string
	for _, p := range Plans() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Plan{}, fmt.Errorf("chaos: there is no plan %q; there are %s", name, strings.Join(names, ", "))
}
