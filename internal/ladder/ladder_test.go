package ladder

import (
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kadrehq/kadre"

// ranks is the staircase: a package imports packages of lower ranks only. A folder stands for the
// packages below it too, unless they have a line of their own. 5b is 6 here, and so on upwards.
var ranks = map[string]int{
	"internal/id":        0,
	"internal/wire":      0,
	"internal/codec":     0,
	"internal/shm":       0,
	"internal/invariant": 0,
	"internal/trace":     0,
	"internal/waits":     0,
	"p2p":                1,
	"objstore":           2,
	"sched":              3,
	"actor":              4,
	"internal/proc":      5,
	"internal/node":      5,
	"internal/embed":     6, // 5b
	"api":                7, // 6
	"internal/testnet":   7,
	"internal/words":     7,
	"bench":              8, // 7
	"chaos":              8,
	"cmd":                8,
	"docs":               8,
	"examples":           8,
	"internal/sim":       8,
	"internal/testbed":   8,
	"internal/ladder":    8,
}

// within lists what may be imported at the same rank, besides a parent's sub-packages and anything of
// rank 0 (where the compiler refuses cycles).
var within = map[string][]string{
	"p2p/lane":       {"p2p/admit"},
	"p2p/directory":  {"p2p/member"},
	"bench":          {"internal/sim"},
	"chaos":          {"internal/sim"},
	"cmd/kadre":      {"bench", "chaos"},
	"cmd/kadre/demo": {"cmd/kadre/ask"},
}

// pure are the protocol cores: (state, event, now) -> (state, actions), without goroutines and without
// these packages.
var (
	pure = []string{"p2p/member", "sched/steal", "objstore/owner", "objstore/swarm", "actor/session", "actor/registrar", "internal/waits"}

	impure = []string{"time", "net", "os", "sync", "math/rand"}
)

// unsafeIn lists the folders and files that may import unsafe: what touches the mapping, the codec, and
// the task header, which is one allocation of three layers (sched.Task in proc.Future in api's call).
var unsafeIn = []string{"internal/shm/", "objstore/arena/", "internal/codec/",
	"sched/task.go", "internal/proc/future.go", "api/task.go", "api/signature.go"}

func TestImportsGoDown(t *testing.T) {
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, path := range f.imports {
			to, ours := strings.CutPrefix(path, module+"/")
			if !ours {
				continue
			}
			if why := climbs(f.pkg, to); why != "" {
				t.Errorf("%s imports %s: %s", f.name, to, why)
			}
		}
	}
}

// climbs says why one package may not import another.
func climbs(from, to string) string {
	a, okA := rank(from)
	b, okB := rank(to)
	switch {
	case !okA:
		return from + " has no rank in the table"
	case !okB:
		return to + " has no rank in the table"
	case to == "internal/sim" && !slices.Contains(within[from], to):
		return "only chaos and bench (and tests) import the simulator"
	case b < a, a == 0 && b == 0, strings.HasPrefix(to, from+"/"), slices.Contains(within[from], to):
		return ""
	case a == b:
		return "same rank, and the table does not list it"
	}
	return "a higher rank"
}

func rank(pkg string) (int, bool) {
	for p := pkg; p != ""; {
		if r, ok := ranks[p]; ok {
			return r, true
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			break
		}
		p = p[:i]
	}
	return 0, false
}

func TestRuleTellsUpFromDown(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"internal/wire", "internal/codec", true},
		{"sched", "internal/id", true},
		{"sched", "sched/deque", true},
		{"sched/deque", "sched", false},
		{"internal/id", "sched", false},
		{"internal/proc", "internal/node", false},
		{"internal/embed", "internal/node", true},
		{"internal/node", "internal/embed", false},
		{"api", "internal/embed", true},
		{"cmd/kadre", "api", true},
		{"cmd/kadre", "internal/sim", false},
		{"p2p/lane", "p2p/directory", false},
		{"sched", "nowhere", false},
	} {
		if why := climbs(c.from, c.to); (why == "") != c.ok {
			t.Errorf("%s imports %s: %q", c.from, c.to, why)
		}
	}
}

func TestOnlyP2PKnowsLibp2p(t *testing.T) {
	for _, f := range sources(t) {
		if f.pkg == "p2p" || strings.HasPrefix(f.pkg, "p2p/") {
			continue
		}
		for _, path := range f.imports {
			if strings.HasPrefix(path, "github.com/libp2p/") || strings.HasPrefix(path, "github.com/multiformats/") {
				t.Errorf("%s imports %s: libp2p is known only to p2p", f.name, path)
			}
		}
	}
}

func TestUnsafeStaysInItsFiles(t *testing.T) {
	for _, f := range sources(t) {
		listed := slices.ContainsFunc(unsafeIn, func(p string) bool { return strings.HasPrefix(f.name, p) })
		if !f.test && !listed && slices.Contains(f.imports, "unsafe") {
			t.Errorf("%s imports unsafe; only %v may", f.name, unsafeIn)
		}
		if slices.Contains(f.imports, "C") {
			t.Errorf("%s uses cgo", f.name)
		}
	}
}

func TestProtocolCoresArePure(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || !slices.Contains(pure, f.pkg) {
			continue
		}
		for _, path := range f.imports {
			for _, bad := range impure {
				if path == bad || strings.HasPrefix(path, bad+"/") {
					t.Errorf("%s imports %s: a protocol core has no clock, no network, no locks and no chance", f.name, path)
				}
			}
		}
		for _, pos := range f.goStatements(t) {
			t.Errorf("%s: a protocol core has no go statement", pos)
		}
	}
}

func TestAPIStartsNoGoroutines(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || f.pkg != "api" {
			continue
		}
		for _, pos := range f.goStatements(t) {
			t.Errorf("%s: api has no goroutines; they belong to internal/proc", pos)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	said := map[string]bool{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		if _, seen := said[f.pkg]; !seen {
			said[f.pkg] = false
		}
		switch isDoc := strings.HasSuffix(f.name, "/doc.go"); {
		case f.comment != "" && !isDoc:
			t.Errorf("%s has a package comment; it belongs in doc.go", f.name)
		case isDoc && f.comment != "":
			said[f.pkg] = true
		}
	}
	for pkg, ok := range said {
		if !ok {
			t.Errorf("%s has no doc.go with a package comment", pkg)
		}
	}
}
