package testbed

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// nsPrefix begins the names of our namespaces; the test's process number and a count follow.
const nsPrefix = "kadre-test-"

// maxNamespaces bounds a bridge: one byte of the address counts them.
const maxNamespaces = 200

var nsCount atomic.Int64

// Namespace is a network namespace with a loopback and one address on the bridge. A nil one is the machine's.
type Namespace struct {
	Name string
	IP   netip.Addr
}

// Bridge makes n network namespaces joined by a bridge, which has one of its own. They go with the test.
func Bridge(t testing.TB, n int) []*Namespace {
	t.Helper()
	NeedRoot(t)
	if n > maxNamespaces {
		t.Fatalf("%d namespaces, at most %d", n, maxNamespaces)
	}
	sweepNamespaces()
	hub := newNamespace(t)
	ip(t, "-n", hub, "link", "add", "br0", "type", "bridge")
	ip(t, "-n", hub, "link", "set", "br0", "up")
	var all []*Namespace
	for i := range n {
		ns := &Namespace{Name: newNamespace(t), IP: netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)})}
		port := "p" + strconv.Itoa(i)
		ip(t, "-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", ns.Name)
		ip(t, "-n", hub, "link", "set", port, "master", "br0", "up")
		ip(t, "-n", ns.Name, "addr", "add", ns.IP.String()+"/24", "dev", "eth0")
		ip(t, "-n", ns.Name, "link", "set", "eth0", "up")
		all = append(all, ns)
	}
	return all
}

// newNamespace makes a namespace with its loopback up.
func newNamespace(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("%s%d-%d", nsPrefix, os.Getpid(), nsCount.Add(1))
	ip(t, "netns", "add", name)
	t.Cleanup(func() { ip(t, "netns", "del", name) })
	ip(t, "-n", name, "link", "set", "lo", "up")
	return name
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// sweepNamespaces deletes what test runs left that did not come to their end.
var sweepNamespaces = sync.OnceFunc(func() {
	out, _ := exec.Command("ip", "netns", "list").Output() // without it the first `ip netns add` tells why
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ours := strings.CutPrefix(name, nsPrefix)
		owner, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(owner)
		if ours && err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			exec.Command("ip", "netns", "del", name).Run() // another run may have been quicker
		}
	}
})

// command runs a program in the namespace; `ip netns exec` becomes the program, so its number is the child's.
func (ns *Namespace) command(argv []string) *exec.Cmd {
	if ns != nil {
		argv = append([]string{"ip", "netns", "exec", ns.Name}, argv...)
	}
	return exec.Command(argv[0], argv[1:]...)
}
