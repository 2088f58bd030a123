package testbed_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/testbed"
)

// verdictWithin and healWithin are bounds for hangs: what is usual is measured by `kadre chaos`.
const (
	verdictWithin = 30 * time.Second
	healWithin    = 30 * time.Second
)

// silence drops or lets pass everything that comes to or leaves a namespace over its bridge.
func silence(t *testing.T, ns *testbed.Namespace, on bool) {
	t.Helper()
	do := "-A"
	if !on {
		do = "-D"
	}
	for _, rule := range [][]string{{"INPUT", "-i", "eth0"}, {"OUTPUT", "-o", "eth0"}} {
		argv := slices.Concat([]string{"netns", "exec", ns.Name, "iptables", "-w", do}, rule, []string{"-j", "DROP"})
		if out, err := exec.Command("ip", argv...).CombinedOutput(); err != nil {
			t.Fatalf("iptables: %v\n%s", err, out)
		}
	}
}

// member is what n says of another.
func member(n, other *testbed.Node) testbed.Member {
	s := n.Status()
	return s.Member(other.ID)
}

// awaitState waits until n says that the other is in this state, or is no member.
func awaitState(t *testing.T, n, other *testbed.Node, state string) {
	t.Helper()
	var m testbed.Member
	testbed.Until(t, verdictWithin, func() bool {
		m = member(n, other)
		return m.State == state || state == "gone" && m.State != "alive" && m.State != "suspect"
	}, func() string {
		return fmt.Sprintf("%s says of %s: %+v", n.Name, other.Name, m)
	})
}

// named lets a name stand for addresses inside a namespace: `ip netns exec` puts the file over /etc/hosts.
func named(t *testing.T, ns *testbed.Namespace, name string, addrs ...string) {
	t.Helper()
	dir := filepath.Join("/etc/netns", ns.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.RemoveAll(dir)
		os.Remove("/etc/netns") // unless others use it
	})
	var b strings.Builder
	for _, a := range addrs {
		fmt.Fprintln(&b, a, name)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestMembership has nodes of four machines find, lose, refuse and find each other.
func TestMembership(t *testing.T) {
	testbed.NotAgain(t)
	spaces := testbed.Bridge(t, 5)
	for _, ns := range spaces {
		if out, err := exec.Command("ip", "-n", ns.Name, "route", "add", "224.0.0.0/4", "dev", "eth0").CombinedOutput(); err != nil {
			t.Fatalf("ip route: %v\n%s", err, out)
		}
	}
	bed := testbed.New(t)
	token, denied := bed.Token("token"), bed.File("denied", "", 0o600)
	at := func(i int, args ...string) testbed.NodeConfig {
		return testbed.NodeConfig{Place: testbed.Place{NS: spaces[i], Runtime: bed.Folder(fmt.Sprint("r", i))},
			Args: append([]string{"--cpus", "1", "--token-file", token, "--deny-file", denied, "--listen", spaces[i].IP.String() + ":7420"}, args...)}
	}

	// Two find each other on their network, a third by a name that stands for one that is gone, one that never
	// was and one that is there, and by it the others.
	a, b := bed.StartNode(at(0)), bed.StartNode(at(1))
	testbed.AwaitMembers(a, b)
	if x, y := member(a, b), member(b, a); x.Found != "mdns" && y.Found != "mdns" {
		t.Errorf("found by %s and %s", x.Found, y.Found)
	}
	named(t, spaces[2], "nodes.test", spaces[4].IP.String(), "10.77.0.250", spaces[0].IP.String())
	c := bed.StartNode(at(2, "--no-mdns", "--join", "nodes.test:7420"))
	testbed.AwaitMembers(a, b, c)
	if m := member(c, a); m.Found != "join" {
		t.Errorf("found by %s", m.Found)
	}

	// One falls silent; both sides pass their verdicts, and meet again.
	silence(t, spaces[1], true)
	awaitState(t, a, b, "gone")
	awaitState(t, c, b, "gone")
	awaitState(t, b, a, "gone")
	awaitState(t, b, c, "gone")
	if m := member(a, c); m.State != "alive" {
		t.Errorf("%s says of %s: %+v", a.Name, c.Name, m)
	}
	silence(t, spaces[1], false)
	for _, n := range []*testbed.Node{a, b, c} {
		for _, other := range []*testbed.Node{a, b, c} {
			if n != other {
				testbed.Until(t, healWithin, func() bool { return member(n, other).State == "alive" }, func() string {
					return fmt.Sprintf("%s says of %s: %+v", n.Name, other.Name, member(n, other))
				})
			}
		}
	}

	zombie(t, bed, at, spaces, a, b, c)
}

// zombie silences b, starts it anew elsewhere, lets the old one speak again, and goes on with the others.
func zombie(t *testing.T, bed *testbed.Bed, at func(int, ...string) testbed.NodeConfig, spaces []*testbed.Namespace, a, b, c *testbed.Node) {
	silence(t, spaces[1], true)
	awaitState(t, a, b, "gone")
	k := at(3, "--no-mdns", "--join", a.Addr())
	k.StateDir = filepath.Join(bed.Dir, "copy")
	copyKey(t, b.StateDir, k.StateDir)
	again := bed.StartNode(k)
	if again.ID != b.ID {
		t.Fatalf("%s is not %s", again.ID, b.ID)
	}
	testbed.AwaitMembers(a, c, again)
	epoch := member(a, again).Epoch
	silence(t, spaces[1], false)
	b.AwaitStderr(healWithin, "a later start of this node was seen")
	if m := member(a, again); m.Epoch != epoch || m.State != "alive" || !strings.Contains(fmt.Sprint(m.Addrs), spaces[3].IP.String()) {
		t.Errorf("the zombie displaced the later start: %+v", m)
	}
	b.Kill()

	// One that was killed comes back with nothing but its state folder, under a later epoch.
	before := member(a, c).Epoch
	c.Kill()
	awaitState(t, a, c, "gone")
	k = at(2, "--no-mdns")
	k.StateDir = c.StateDir
	c = bed.StartNode(k)
	testbed.AwaitMembers(a, c, again)
	if m := member(a, c); m.Epoch <= before {
		t.Errorf("epoch %d after %d", m.Epoch, before)
	}
	// It was told of nobody: it remembers a, or a, which looks for the lost, dialed it first.
	if m := member(c, a); m.Found != "remembered" && m.Found != "join" {
		t.Errorf("found by %s", m.Found)
	}

	// One is denied: all cut it off, and it is told.
	bed.File("denied", again.ID+"\n", 0o600)
	awaitState(t, a, again, "gone")
	awaitState(t, c, again, "gone")
	again.AwaitStderr(healWithin, "list of the denied")
	noToken(t, bed)
}

func copyKey(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "node.key"), []byte(readFile(t, filepath.Join(from, "node.key"))), 0o600); err != nil {
		t.Fatal(err)
	}
}

// noToken looks for the token in all that the processes said and were started with, and in what they left, but for
// the file itself.
func noToken(t *testing.T, bed *testbed.Bed) {
	t.Helper()
	secret := strings.TrimSpace(readFile(t, filepath.Join(bed.Dir, "token")))
	has := func(s string) bool { return strings.Contains(s, secret) || strings.Contains(s, secret[10:40]) }
	looked := 0
	for _, p := range bed.Processes() {
		if looked++; has(p.Stdout()) || has(p.Stderr()) {
			t.Errorf("%s says the token", p.Name)
		}
	}
	for _, pid := range bed.Alive() {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && has(string(b)) {
			t.Errorf("process %d has the token in its arguments", pid)
		}
	}
	err := filepath.WalkDir(bed.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Base(path) != "token" {
			if b, err := os.ReadFile(path); err == nil && len(b) < 1<<20 && has(string(b)) {
				t.Errorf("the token is in %s", path)
			}
		}
		return nil
	})
	if err != nil || looked < 4 || len(secret) < 50 {
		t.Errorf("looked at %d processes: %v", looked, err)
	}
}
