package testbed

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/trace"
)

// Node is a process that runs `kadre start`.
type Node struct {
	*Process
	ID       string
	Addrs    []string // multiaddrs
	Socket   string
	StateDir string

	bed   *Bed
	place Place
}

// NodeConfig says how to start a node.
type NodeConfig struct {
	Place
	StateDir string   // --state-dir; default one of its own below the Bed
	Args     []string // further flags
}

// StartNode starts a node and waits until it serves.
func (b *Bed) StartNode(c NodeConfig) *Node {
	b.t.Helper()
	n := b.Launch(c)
	if err := n.awaitReady(); err != nil {
		b.t.Fatalf("%v; standard error:\n%s", err, tail(n.Stderr()))
	}
	return n
}

// Launch starts a node that may never serve.
func (b *Bed) Launch(c NodeConfig) *Node {
	b.t.Helper()
	b.count++
	if c.StateDir == "" {
		c.StateDir = filepath.Join(b.Dir, "n"+strconv.Itoa(b.count))
	}
	b.uses(b.Runtime, c.StateDir)
	argv := append([]string{Kadre(b.t), "start", "--state-dir", c.StateDir}, c.Args...)
	return &Node{Process: b.Run("node "+strconv.Itoa(b.count), c.Place, argv...), StateDir: c.StateDir, bed: b, place: c.Place}
}

// awaitReady reads the line that says that the node serves.
func (n *Node) awaitReady() error {
	line, err := n.next(startWithin)
	if err != nil {
		return err
	}
	var r struct {
		Ready        bool
		Node, Socket string
		Addrs        []string
	}
	if err := json.Unmarshal(line, &r); err != nil || !r.Ready {
		return fmt.Errorf("testbed: %s printed %q", n.Name, line)
	}
	n.ID, n.Addrs, n.Socket = r.Node, r.Addrs, r.Socket
	return nil
}

// Refused waits for the end of a node that was launched and must not come up, and gives its standard error.
func (n *Node) Refused(within time.Duration) string {
	n.bed.t.Helper()
	if code := n.Wait(within); code != 1 {
		n.bed.t.Errorf("%s ended with status %d instead of 1", n.Name, code)
	}
	if out := n.Stdout(); out != "" {
		n.bed.t.Errorf("%s printed %q although it cannot serve", n.Name, out)
	}
	return n.Stderr()
}

// Runtime is the node's XDG_RUNTIME_DIR.
func (n *Node) Runtime() string { return n.place.Runtime }

// at is where the node runs, with further variables.
func (n *Node) at(first string, env ...string) Place {
	p := n.place
	p.Env = slices.Concat(p.Env, []string{first}, env)
	return p
}

// Addr gives an address of the node that others can join: the one with the IP, else the first.
func (n *Node) Addr() string {
	n.bed.t.Helper()
	if n.place.NS == nil {
		return n.Addrs[0]
	}
	for _, a := range n.Addrs {
		if strings.HasPrefix(a, "/ip4/"+n.place.NS.IP.String()+"/") {
			return a
		}
	}
	n.bed.t.Fatalf("%s listens on %v, not on %v", n.Name, n.Addrs, n.place.NS.IP)
	return ""
}

// Stop tells the node to drain and waits for its end. Where no job is left, nothing may be in its store.
func (n *Node) Stop() {
	n.bed.t.Helper()
	if s := n.Status(); len(s.Jobs) == 0 && len(s.Drivers) == 0 {
		empty := func() bool {
			s = n.Status()
			return s.Store.Objects+s.Store.Holders+s.Store.Blocks == 0 || len(s.Jobs) > 0
		}
		Until(n.bed.t, endWithin, empty, func() string { return fmt.Sprintf("in the store of %s, without a job: %+v", n.Name, s.Store) })
	}
	n.Signal(syscall.SIGTERM)
	n.Succeed(endWithin)
}

// Status is what a node says of itself; only what tests read.
type Status struct {
	Node         string
	PID          int
	Addrs        []string
	Tokens       []string // fingerprints
	Members      []Member
	RoutingTable int `json:"routing_table"`
	RecordsHeld  int `json:"records_held"`
	Directory    struct{ Hits, Misses int }
	Store        struct{ Objects, Holders, Blocks, Bytes int64 }
	CPUs         struct{ Total, Free float64 }
	Available    map[string]float64
	Bytes        struct {
		ExeOut    int64 `json:"exe_out"`
		FramesIn  int64 `json:"frames_in"`
		FramesOut int64 `json:"frames_out"`
	}
	Jobs    []struct{ Job string }
	Drivers []struct{ PID int }
	Workers []struct {
		PID  int
		Job  string
		Kind string
	}
	Steals struct {
		Granted  int64
		TasksIn  int64 `json:"tasks_in"`
		TasksOut int64 `json:"tasks_out"`
	}
}

// Member is another node as a node sees it.
type Member struct {
	ID, State, Said, Found, Via, Token string
	Epoch                              uint64
	Addrs                              []string
}

// Member finds what the node says of another.
func (s *Status) Member(id string) (m Member) {
	for _, m := range s.Members {
		if m.ID == id {
			return m
		}
	}
	return m
}

// Status asks the node, as a user would.
func (n *Node) Status() (s Status) {
	n.bed.t.Helper()
	n.ask(&s, "status", "--json")
	return s
}

// Objects counts the objects in the node's store, in memory or in files.
func (n *Node) Objects() int {
	n.bed.t.Helper()
	var l []struct{}
	n.ask(&l, "list", "objects", "--json", "--node", n.ID)
	return len(l)
}

// Groups lists the placement groups of the node's cluster.
func (n *Node) Groups() (rows []map[string]any) {
	n.bed.t.Helper()
	n.ask(&rows, "list", "groups", "--json")
	return rows
}

// Events asks for the node's ring of events.
func (n *Node) Events() (es []trace.Event) {
	n.bed.t.Helper()
	n.ask(&es, "status", "--events", "--json")
	return es
}

func (n *Node) ask(v any, args ...string) {
	n.bed.t.Helper()
	out, errs, err := n.kadre(args...)
	if err == nil {
		err = json.Unmarshal(out, v)
	}
	if err != nil {
		n.bed.t.Fatalf("kadre %s of %s: %v\n%s%s\nthe node's standard error:\n%s", strings.Join(args, " "), n.Name, err, errs, tail(string(out)), tail(n.Stderr()))
	}
}

// kadre runs a command that asks the node; it is not kept with the Bed's processes, since there are many.
func (n *Node) kadre(args ...string) (out, errs []byte, err error) {
	var stdout, stderr output
	cmd := n.place.NS.Command(append([]string{Kadre(n.bed.t)}, args...)...)
	cmd.Env = n.bed.environment(n.at("KADRE_SOCKET=" + n.Socket))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return []byte(stdout.String()), []byte(stderr.String()), err
}

// AwaitMembers waits until every one of the nodes sees all of them alive.
func AwaitMembers(nodes ...*Node) {
	for _, n := range nodes {
		n.bed.t.Helper()
		var s Status
		Until(n.bed.t, startWithin, func() bool { s = n.Status(); return s.alive() == len(nodes) }, func() string {
			return fmt.Sprintf("%s sees %+v", n.Name, s.Members)
		})
	}
}

func (s *Status) alive() (n int) {
	for _, m := range s.Members {
		if m.State == "alive" {
			n++
		}
	}
	return n
}
