package testnet

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// filter replaces the packet filter of a namespace: what the rules name is dropped without a word.
func (ns *Namespace) filter(rules ...string) error {
	in := "*filter\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:FORWARD ACCEPT\n"
	for _, r := range rules {
		in += r + " -j DROP\n"
	}
	cmd := ns.Command("iptables-restore", "-w")
	cmd.Stdin = strings.NewReader(in + "COMMIT\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("testnet: iptables-restore in %s: %w: %s", ns.Name, err, bytes.TrimSpace(out))
	}
	return nil
}

// Silence drops every packet of the nodes from now on: for the others they have died without a word, and their
// connections stay open. It tells when each of the filters was asked for: the first of many takes the kernel longest.
func (n *Net) Silence(nodes ...*Node) ([]time.Time, error) {
	when := make([]time.Time, len(nodes))
	return when, each(nodes, func(i int, d *Node) error {
		when[i] = time.Now()
		return d.NS.filter("-A INPUT -i eth0", "-A OUTPUT -o eth0")
	})
}

// Divide drops every packet between the nodes given and all others.
func (n *Net) Divide(part ...*Node) error {
	return n.Part(part, slices.DeleteFunc(slices.Clone(n.Nodes), func(d *Node) bool { return slices.Contains(part, d) }))
}

// Part drops every packet between nodes of a and nodes of b.
func (n *Net) Part(a, b []*Node) error {
	return errors.Join(each(a, func(_ int, d *Node) error { return d.deaf(b) }), each(b, func(_ int, d *Node) error { return d.deaf(a) }))
}

// deaf drops every packet that others send to the node.
func (d *Node) deaf(others []*Node) error {
	var rules []string
	for _, o := range others {
		rules = append(rules, "-A INPUT -s "+o.NS.IP.String())
	}
	return d.NS.filter(rules...)
}

// Heal drops nothing more.
func (n *Net) Heal() error {
	return each(n.Nodes, func(_ int, d *Node) error { return d.NS.filter() })
}

// atOnce bounds the namespaces whose filters are replaced at a time.
const atOnce = 8

// each does something to several nodes, some at once.
func each(nodes []*Node, f func(int, *Node) error) error {
	slots := make(chan struct{}, atOnce)
	return Each(nodes, func(i int, d *Node) error {
		slots <- struct{}{}
		defer func() { <-slots }()
		return f(i, d)
	})
}

// Each asks several nodes at once.
func Each(nodes []*Node, f func(i int, d *Node) error) error {
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, d := range nodes {
		wg.Go(func() { errs[i] = f(i, d) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
