package proc

import (
	"context"
	"errors"
	"fmt"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// Group is a placement group that this process made.
type Group struct {
	p       *Process
	id      id.Group
	at      id.Node // where its resources are
	bundles int
	gate    *Future // done when they are reserved, failed when that cannot be any more

	lost error // why it is no more, also after it was reserved; guarded by Process.mu
}

// groupGate is what waits for placement groups are for.
var groupGate = gateType("a placement group to be reserved")

// NewGroup asks for resources that are taken together. It returns when it is known on which node they will be.
func (p *Process) NewGroup(ctx context.Context, bundles []map[string]float64, strategy uint8) (*Group, error) {
	q := wire.Group{Op: wire.GroupMake, Group: p.ids.Group(), Job: p.job, Bundles: bundles, Strategy: strategy}
	if err := q.Check(); err != nil {
		return nil, errorf("kadre: NewPlacementGroup: %w", err)
	}
	g := &Group{p: p, id: q.Group, bundles: len(bundles)}
	b, err := p.call(ctx, p.nodeAddr(), wire.KGroup, wire.Marshal(&q))
	if err != nil {
		return nil, replied(err)
	}
	var m wire.Placed
	if err := wire.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	g.at = m.To.Node
	g.gate = newGate(p, groupGate)
	p.mu.Lock()
	p.groups[g.id] = g
	p.mu.Unlock()
	p.request(id.Addr{Node: g.at}, wire.KGroup, g.ask(wire.GroupAwait), func(_ []byte, err error) {
		if err != nil {
			g.lose(groupError(replied(err)))
			return
		}
		g.gate.Finish()
	})
	return g, nil
}

func (g *Group) ask(op wire.GroupOp) []byte {
	return wire.Marshal(&wire.Group{Op: op, Group: g.id, Job: g.p.job})
}

// groupError makes the end of the group's node an error about the group.
func groupError(err error) error {
	var gone *UnavailableError
	if errors.As(err, &gone) {
		return &UnschedulableError{Text: "kadre: the resources of a placement group are gone: " + gone.Text}
	}
	return err
}

// Bundles is how many it has.
func (g *Group) Bundles() int { return g.bundles }

// Process is the process that made it.
func (g *Group) Process() *Process { return g.p }

func (g *Group) name() string { return "placement group " + g.id.Short() }

// err is why it is no more.
func (g *Group) err() error {
	g.p.mu.Lock()
	defer g.p.mu.Unlock()
	return g.lost
}

// Await waits until all bundles are reserved.
func (g *Group) Await(ctx context.Context) error {
	if err := g.err(); err != nil {
		return err
	}
	err := g.p.Await(ctx, g.gate)
	if lost := g.err(); lost != nil {
		return lost
	}
	return err
}

// lose ends the group here: tasks and actors in it that have no outcome fail with why. The group's node ends what runs: this
// process may not know yet where that is, or not any more.
func (g *Group) lose(why error) bool {
	p := g.p
	p.mu.Lock()
	if g.lost != nil {
		p.mu.Unlock()
		return false
	}
	g.lost = why
	delete(p.groups, g.id)
	var out []*Future
	for _, o := range p.objects {
		if o.rec != nil && o.rec.group == g && o.rec.f != nil {
			out = append(out, o.rec.f)
		}
	}
	p.mu.Unlock()
	g.gate.Fail(why)
	for _, f := range out {
		f.Fail(why)
	}
	return true
}

// Remove gives the resources back. What runs in the group ends.
func (g *Group) Remove(ctx context.Context) error {
	if !g.lose(&UnschedulableError{Text: fmt.Sprintf("kadre: %s was removed", g.name())}) {
		return nil
	}
	_, err := g.p.call(ctx, id.Addr{Node: g.at}, wire.KGroup, g.ask(wire.GroupRemove))
	var gone *UnavailableError
	var none *UnschedulableError
	if err = replied(err); errors.As(err, &gone) || errors.As(err, &none) {
		return nil // they are given back in any case
	}
	return err
}

// groupsDead is called when nodes have ended.
func (p *Process) groupsDead(a id.Addr, why string) {
	if a.Proc != 0 {
		return
	}
	p.mu.Lock()
	var lost []*Group
	for _, g := range p.groups {
		if g.at == a.Node {
			lost = append(lost, g)
		}
	}
	p.mu.Unlock()
	for _, g := range lost {
		g.lose(&UnschedulableError{Text: fmt.Sprintf("kadre: the reservation of %s is gone with node %s: %s", g.name(), a.Node.Short(), why)})
	}
}
