package testbed

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

var natCount atomic.Int64

// NAT makes a network namespace behind a gateway on the bridge, which masquerades what comes from it: whoever is in
// there can dial and cannot be dialed. The addresses behind all gateways are the same. It goes with the test.
func NAT(t testing.TB, gateway *Namespace) *Namespace {
	t.Helper()
	// The name is of those that package testnet sweeps, should the test be killed.
	ns := &Namespace{Name: fmt.Sprintf("kadre-net-%d-nat%d", os.Getpid(), natCount.Add(1)), IP: netip.MustParseAddr("192.168.7.2")}
	run := func(argv ...string) {
		t.Helper()
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
		}
	}
	run("ip", "netns", "add", ns.Name)
	t.Cleanup(func() { run("ip", "netns", "del", ns.Name) })
	in := func(of *Namespace, argv ...string) { t.Helper(); run(of.Command(argv...).Args...) }
	in(ns, "ip", "link", "set", "lo", "up")
	in(gateway, "ip", "link", "add", "inside", "type", "veth", "peer", "name", "eth0", "netns", ns.Name)
	in(gateway, "ip", "addr", "add", "192.168.7.1/24", "dev", "inside")
	in(gateway, "ip", "link", "set", "inside", "up")
	in(ns, "ip", "addr", "add", "192.168.7.2/24", "dev", "eth0")
	in(ns, "ip", "link", "set", "eth0", "up")
	in(ns, "ip", "route", "add", "default", "via", "192.168.7.1")
	in(gateway, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	in(gateway, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE")
	return ns
}
