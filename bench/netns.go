package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// nsPrefix begins the names of the namespaces that rows make; the process's number and a letter follow.
const nsPrefix = "kadre-bench-"

// cable is two network namespaces joined by a veth pair.
type cable struct {
	names [2]string
	made  int // of them
	ips   [2]string
}

// layCable makes such a pair. It takes root.
func layCable() (_ *cable, err error) {
	sweepCables()
	w := &cable{ips: [2]string{"10.78.0.1", "10.78.0.2"}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	w.name()
	for _, name := range w.names {
		if err := ip("netns", "add", name); err != nil {
			return nil, err
		}
		w.made++
		if err := ip("-n", name, "link", "set", "lo", "up"); err != nil {
			return nil, err
		}
	}
	if err := ip("-n", w.names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", w.names[1]); err != nil {
		return nil, err
	}
	for i, name := range w.names {
		if err := ip("-n", name, "addr", "add", w.ips[i]+"/24", "dev", "eth0"); err != nil {
			return nil, err
		}
		if err := ip("-n", name, "link", "set", "eth0", "up"); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// close removes the namespaces, and with them the pair.
func (w *cable) close() (err error) {
	for _, name := range w.names[:w.made] {
		err = errors.Join(err, ip("netns", "del", name))
	}
	return err
}

func (w *cable) name() {
	for i, end := range [...]string{"a", "b"} {
		w.names[i] = nsPrefix + strconv.Itoa(os.Getpid()) + "-" + end
	}
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// sweepCables removes what runs left that were killed.
func sweepCables() {
	out, _ := exec.Command("ip", "netns", "list").Output() // without it the first `ip netns add` tells why
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ours := strings.CutPrefix(name, nsPrefix)
		owner, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(owner)
		if ours && err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			ip("netns", "del", name) // another run may have been quicker
		}
	}
}
