package proc

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/kadrehq/kadre/sched"
)

// registry holds the functions of this program by name.
var registry = struct {
	sync.RWMutex
	byName map[string]*Func
	closed bool
}{byName: map[string]*Func{}}

// runs holds the engine's side of the registered functions, to tell their tasks from others.
var runs sync.Map // *sched.Func to *Func

func registered(f *sched.Func) bool {
	_, ok := runs.Load(f)
	return ok
}

// Register adds a function. It panics when the name is taken and after the first Attach, since other
// processes of the job must have the same functions.
func Register(f *Func) {
	registry.Lock()
	defer registry.Unlock()
	if registry.closed {
		panic(fmt.Sprintf("kadre: %s is registered after Init (%s): declare it as a package variable, or assign it in func init()", f.Run.Name, f.Where))
	}
	if old := registry.byName[f.Run.Name]; old != nil {
		panic(fmt.Sprintf("kadre: two registrations of %s: at %s and at %s; give one of them api.RegisterAs(\"another name\")", f.Run.Name, old.Where, f.Where))
	}
	registry.byName[f.Run.Name] = f
	runs.Store(&f.Run, f)
}

// Functions tells how the runs in this process were of the functions that ran, by name.
func Functions() []sched.FuncStats {
	registry.RLock()
	defer registry.RUnlock()
	var all []sched.FuncStats
	for _, name := range slices.Sorted(maps.Keys(registry.byName)) {
		if s := registry.byName[name].Run.Stats(); s.Runs+s.Failed > 0 {
			all = append(all, s)
		}
	}
	return all
}

// closeRegistry ends registering.
func closeRegistry() {
	registry.Lock()
	registry.closed = true
	registry.Unlock()
}

func lookup(name string) (*Func, error) {
	registry.RLock()
	defer registry.RUnlock()
	if f := registry.byName[name]; f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("function %s is not registered in this process: register it in every run of the program, before api.Init or api.RunWorker", name)
}
