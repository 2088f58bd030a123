package testnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// prefix begins the names of our namespaces and folders; the process number and a count follow.
const prefix = "kadre-net-"

// MaxNodes bounds a bridge: one byte of the address counts them.
const MaxNodes = 200

var count atomic.Int64

// ErrRoot says that network namespaces cannot be made.
var ErrRoot = errors.New("testnet: network namespaces need root: run it as root, for example with sudo")

// Namespace is a network namespace with a loopback and one address on the bridge. A nil one is the machine's.
type Namespace struct {
	Name string
	IP   netip.Addr
}

// Bridge is network namespaces joined by a bridge, which has a namespace of its own: the machine's own addresses
// and routes stay untouched.
type Bridge struct {
	Spaces []*Namespace

	names []string // all that were made
}

// NewBridge makes n namespaces. Close removes them.
func NewBridge(ctx context.Context, n int) (_ *Bridge, err error) {
	if os.Geteuid() != 0 {
		return nil, ErrRoot
	}
	if n > MaxNodes {
		return nil, fmt.Errorf("testnet: %d namespaces, at most %d", n, MaxNodes)
	}
	sweep()
	b := &Bridge{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	hub, err := b.add()
	if err != nil {
		return nil, err
	}
	if err := ip("-n", hub, "link", "add", "br0", "type", "bridge"); err != nil {
		return nil, err
	}
	if err := ip("-n", hub, "link", "set", "br0", "up"); err != nil {
		return nil, err
	}
	for i := range n {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		ns := &Namespace{IP: netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)})}
		if ns.Name, err = b.add(); err != nil {
			return nil, err
		}
		if err := b.plug(hub, "p"+strconv.Itoa(i), ns); err != nil {
			return nil, err
		}
		b.Spaces = append(b.Spaces, ns)
	}
	return b, b.introduce()
}

// mac is the link address of a namespace.
func (ns *Namespace) mac() string { return fmt.Sprintf("02:4b:00:00:00:%02x", ns.IP.As4()[3]) }

// introduce tells every namespace the link addresses of the others: what the kernel learns by itself is limited to
// 1,024 entries in all namespaces together, some 30 nodes.
func (b *Bridge) introduce() error {
	for _, ns := range b.Spaces {
		var in strings.Builder
		for _, o := range b.Spaces {
			if o != ns {
				fmt.Fprintf(&in, "neigh replace %s lladdr %s dev eth0 nud permanent\n", o.IP, o.mac())
			}
		}
		cmd := exec.Command("ip", "-n", ns.Name, "-batch", "-")
		cmd.Stdin = strings.NewReader(in.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("testnet: ip neigh in %s: %w: %s", ns.Name, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// add makes a namespace with its loopback up.
func (b *Bridge) add() (string, error) {
	name := fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), count.Add(1))
	b.names = append(b.names, name)
	if err := ip("netns", "add", name); err != nil {
		return "", err
	}
	return name, ip("-n", name, "link", "set", "lo", "up")
}

// plug joins a namespace to the bridge.
func (b *Bridge) plug(hub, port string, ns *Namespace) error {
	for _, args := range [][]string{
		{"-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "address", ns.mac(), "netns", ns.Name},
		{"-n", hub, "link", "set", port, "master", "br0", "up"},
		{"-n", ns.Name, "addr", "add", ns.IP.String() + "/24", "dev", "eth0"},
		{"-n", ns.Name, "link", "set", "eth0", "up"},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// Close removes the namespaces, and with them the links. The processes in them must have ended.
func (b *Bridge) Close() (err error) {
	for _, name := range b.names {
		if _, e := os.Stat(filepath.Join("/run/netns", name)); errors.Is(e, os.ErrNotExist) {
			continue // it was not made
		}
		err = errors.Join(err, ip("netns", "del", name))
	}
	b.names = nil
	return err
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("testnet: ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Command runs a program in the namespace; `ip netns exec` becomes the program, so its number is the child's.
func (ns *Namespace) Command(argv ...string) *exec.Cmd {
	if ns != nil {
		argv = append([]string{"ip", "netns", "exec", ns.Name}, argv...)
	}
	return exec.Command(argv[0], argv[1:]...)
}

// sweep removes what runs left that did not come to their end: namespaces, and folders.
var sweep = sync.OnceFunc(func() {
	for _, dir := range []string{"/run/netns", os.TempDir()} {
		left, _ := filepath.Glob(filepath.Join(dir, prefix+"*")) // the pattern is right
		for _, path := range left {
			owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), prefix), "-")
			pid, err := strconv.Atoi(owner)
			if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				continue // of a run that goes on
			}
			if dir == "/run/netns" {
				ip("netns", "del", filepath.Base(path)) // another run may have been quicker
			} else {
				os.RemoveAll(path)
			}
		}
	}
})
