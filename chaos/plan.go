package chaos

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// Plan is one way to break things.
type Plan struct {
	Name string
	Does string // in words: what is broken, and what must hold
	Run  func(ctx context.Context, o Options) error
}

// Options say how hard a plan tries.
type Options struct {
	Kills int       // how many processes are killed; default [DefaultKills]
	Seed  uint64    // of the random choices
	Log   io.Writer // gets what happens, for people; default: nowhere
}

// DefaultKills is how many processes a plan kills unless told otherwise.
const DefaultKills = 300

// MaxKills bounds a run.
const MaxKills = 1_000_000

func (o Options) withDefaults() Options {
	if o.Kills == 0 {
		o.Kills = DefaultKills
	}
	if o.Log == nil {
		o.Log = io.Discard
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
