package owner

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/invariant"
)

func runModel(seed uint64, seen map[string]bool) (trace []answered, err error) {
	w := &world{r: rand.New(rand.NewPCG(seed, 7)), t: NewTable(), seen: seen, specs: map[id.Object]spec{}, local: map[id.Object]int{},
		borrow: map[id.Object]map[id.Addr]bool{}, sealed: map[id.Object]map[uint32]bool{}, wanted: map[id.Object]bool{}, gone: map[id.Object]bool{}, given: map[id.Object]bool{}}
	if seed%2 == 0 { // too little lineage for all
		w.t.lines.most = 4 * (lineageEach + 500)
	}
	for range 3 {
		w.nodes = append(w.nodes, map[id.Object]uint32{})
	}
	for i := range 250 {
		if err := w.random(); err != nil {
			return w.trace, fmt.Errorf("step %d: %w", i, err)
		}
	}
	return w.trace, w.end()
}

func TestModel(t *testing.T) {
	first, n := uint64(1), uint64(1000)
	if s := os.Getenv("KADRE_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = v, 1
	}
	if testing.Short() || invariant.Race { // a plain machine: nobody races with it
		n = min(n, 100)
	}
	seen := map[string]bool{}
	for seed := first; seed < first+n; seed++ {
		if trace, err := runModel(seed, seen); err != nil {
			for _, l := range trace[max(0, len(trace)-12):] {
				t.Logf("%#v -> %#v", l.ev, l.acts)
			}
			t.Fatalf("KADRE_SEED=%d: %v", seed, err)
		}
	}
	if n > 1 {
		checkDrawing(t, seen)
	}
}

func TestSameEventsSameActions(t *testing.T) {
	for seed := range uint64(20) {
		a, _ := runModel(seed, map[string]bool{})
		b, _ := runModel(seed, map[string]bool{})
		if !reflect.DeepEqual(a, b) {
			t.Fatal("two runs of seed", seed, "differ")
		}
	}
}

// checkDrawing compares the transitions that happened with those that doc.go draws.
func checkDrawing(t *testing.T, seen map[string]bool) {
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[string]bool{}
	names := map[string]string{"Pending": "pending", "Ready": "ready", "Failed": "failed", "Lost": "lost", "Freed": "freed"}
	for _, m := range regexp.MustCompile(`(?m)^//\s+(\w+)\s+-> (\w+)`).FindAllStringSubmatch(string(b), -1) {
		drawn[names[m[1]]+" -> "+names[m[2]]] = true
	}
	for s := range seen {
		if !drawn[s] {
			t.Errorf("%s happened and is not drawn", s)
		}
	}
	for d := range drawn {
		if !seen[d] {
			t.Errorf("%s is drawn and never happened", d)
		}
	}
}

func (w *world) random() error {
	if len(w.ids) == 0 {
		return w.submit()
	}
	o := w.ids[w.r.IntN(len(w.ids))]
	live := !w.gone[o]
	addr := id.Addr{Node: nodeID(w.r.IntN(len(w.nodes))), Proc: id.Proc(1 + w.r.IntN(2))}
	switch n := w.r.IntN(100); {
	case n < 8 && len(w.ids) < 25:
		return w.submit()
	case n < 30 && len(w.execs) > 0:
		return w.finish(w.r.IntN(len(w.execs)))
	case n < 50 && len(w.late) > 0:
		return w.arrive(w.r.IntN(len(w.late)))
	case n < 60 && live:
		w.wanted[o] = true
		return w.step(Want{o})
	case n < 66 && live && w.referenced(o) && w.local[o] > 0: // only who has a reference hands it on
		w.borrow[o][addr] = true
		return w.step(Borrow{o, addr})
	case n < 74:
		delete(w.borrow[o], addr)
		return w.step(Release{o, addr})
	case n < 78 && live && w.local[o] > 0:
		w.local[o]++
		return w.step(Hold{o})
	case n < 84 && w.free1(o):
		w.local[o]--
		return w.step(Unhold{o})
	case n < 92: // a pull
		i, ok := w.t.Info(o)
		if to := w.r.IntN(len(w.nodes)); ok && len(i.Holders) > 0 {
			if _, has := w.nodes[to][o]; !has || w.nodes[to][o] < i.Attempt {
				w.nodes[to][o] = i.Attempt
			}
			w.send(Copied{o, w.nodes[to][o], nodeID(to)})
		}
	case n < 94 && !w.calm: // an eviction
		node := w.r.IntN(len(w.nodes))
		if _, has := w.nodes[node][o]; has {
			delete(w.nodes[node], o)
			return w.step(Dropped{o, nodeID(node)})
		}
	case n < 96 && !w.calm:
		return w.die(w.r.IntN(len(w.nodes)))
	case n < 97 && !w.calm:
		for _, b := range w.borrow {
			delete(b, addr)
		}
		return w.step(AddrDead{addr})
	case n < 98 && live && !w.calm:
		return w.step(Retry{o})
	}
	return nil
}

// free1 says whether this process holds an object beyond what values contain.
func (w *world) free1(o id.Object) bool {
	n := w.local[o]
	for _, r := range w.t.recs {
		for _, c := range r.contains {
			if c == o {
				n--
			}
		}
	}
	return n > 0
}

// end lets everything come to rest, then drops every reference.
func (w *world) end() error {
	w.calm = true
	rest := func() error {
		for range 100_000 {
			switch {
			case len(w.late) > 0:
				if err := w.arrive(0); err != nil {
					return err
				}
			case len(w.execs) > 0:
				if err := w.finish(w.r.IntN(len(w.execs))); err != nil {
					return err
				}
			default:
				return nil
			}
		}
		return fmt.Errorf("it never comes to rest: %v", w.execs)
	}
	if err := rest(); err != nil {
		return err
	}
	if len(w.wanted) > 0 {
		return fmt.Errorf("never answered: %v", w.wanted)
	}
	for _, o := range w.ids { // everything that is referenced can be had, or is lost for a reason
		if w.gone[o] {
			continue
		}
		w.wanted[o] = true
		if err := w.step(Want{o}); err != nil {
			return err
		}
	}
	if err := rest(); err != nil {
		return err
	}
	if len(w.wanted) > 0 {
		return fmt.Errorf("never answered: %v", w.wanted)
	}
	for _, o := range w.ids {
		for a := range 2 * len(w.nodes) {
			addr := id.Addr{Node: nodeID(a / 2), Proc: id.Proc(1 + a%2)}
			delete(w.borrow[o], addr)
			if err := w.step(Release{o, addr}); err != nil {
				return err
			}
		}
		for w.free1(o) {
			w.local[o]--
			if err := w.step(Unhold{o}); err != nil {
				return err
			}
		}
	}
	if w.t.Len() != 0 {
		return fmt.Errorf("%d records are left", w.t.Len())
	}
	for o, n := range w.local {
		if n != 0 {
			return fmt.Errorf("%v is held %d times", o, n)
		}
	}
	for n, arena := range w.nodes {
		for o, attempt := range arena {
			return fmt.Errorf("node %d still has attempt %d of %v", n, attempt, o)
		}
	}
	return nil
}
