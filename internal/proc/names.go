package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/waits"
	"github.com/kadrehq/kadre/internal/wire"
)

// releaseWait bounds the wait of a method that has called ExitActor for its actor's name to be free again.
const releaseWait = 2 * time.Second

// Claim is the hold of an actor of this process on its name, from before its state is made. nil: it has no name.
type Claim struct {
	p     *Process
	query wire.NameQuery

	lost    string   // why the name was lost before the actor was there; guarded by Process.mu
	waiting []func() // calls that came before the actor was there; not nil until it is; guarded by Process.mu
}

// Begin is called by the task that makes an actor before it makes the state: it claims the actor's name. Where another
// actor has that, and will do, exists is set and at is where that one lives.
func Begin(ctx context.Context) (c *Claim, at Location, exists bool, err error) {
	f, err := creation(ctx)
	if err != nil {
		return nil, at, false, err
	}
	p, s := f.Process(), f.spec()
	if s.Name == "" {
		return nil, at, false, nil
	}
	c = &Claim{p: p, waiting: []func(){}, query: wire.NameQuery{Op: wire.NameClaim, Namespace: s.Namespace, Name: s.Name,
		Holder: wire.Named{Actor: s.Actor, At: p.self, Owner: s.Owner, Job: s.Job, Class: cut(f.Name()), State: cut(f.fn().Opts.State)}}}
	p.mu.Lock()
	p.claims[s.Actor] = c // from now on calls may come by the name
	p.mu.Unlock()
	n, err := p.askName(ctx, &c.query)
	switch {
	case err != nil:
		c.Abandon()
	case n.Actor == s.Actor:
		return c, at, false, nil
	case s.IfExists && n.State == c.query.Holder.State:
		at = n.location()
		at.Actor = n.Actor
		exists = true
	case s.IfExists:
		err = wrongState(s.Namespace, s.Name, n, c.query.Holder.State)
	default:
		err = &NameTakenError{Namespace: s.Namespace, Name: s.Name, Actor: n.Actor, Class: n.Class, Node: n.At.Node}
	}
	c.made() // calls on an actor that is not to be are refused
	if err != nil {
		err = &Refused{err}
	}
	return nil, at, exists, err
}

// Refused is why an actor is not made that is not a failure of its constructor.
type Refused struct{ Err error }

func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap gives the reason.
func (r *Refused) Unwrap() error { return r.Err }

// named is an actor as its name gives it.
type named struct{ wire.Named }

func (n named) location() Location {
	return Location{Node: n.At.Node, Proc: n.At.Proc, Incarnation: 1, Named: true}
}

// Abandon gives the name back of an actor that could not be made, and returns when it is free.
func (c *Claim) Abandon() {
	if c == nil {
		return
	}
	free := make(chan struct{})
	c.release(func() { close(free) })
	c.made()
	select {
	case <-free:
	case <-c.p.ctx.Done():
	case <-time.After(releaseWait): // the node goes on trying
	}
}

// release gives the name back; then, which may be nil, is called when it is free.
func (c *Claim) release(then func()) {
	if c == nil {
		if then != nil {
			then()
		}
		return
	}
	q := c.query
	q.Op = wire.NameRelease
	c.p.request(c.p.nodeAddr(), wire.KName, wire.Marshal(&q), func([]byte, error) {
		if then != nil {
			then()
		}
	})
}

// made goes on with the calls that came before it was known what becomes of the actor.
func (c *Claim) made() {
	p := c.p
	for {
		p.mu.Lock()
		calls := c.waiting
		if len(calls) == 0 {
			c.waiting = nil
			if p.claims[c.query.Holder.Actor] == c {
				delete(p.claims, c.query.Holder.Actor)
			}
			p.mu.Unlock()
			return
		}
		c.waiting = []func(){}
		p.mu.Unlock()
		for _, call := range calls {
			call()
		}
	}
}

// askName asks the node about a name.
func (p *Process) askName(ctx context.Context, q *wire.NameQuery) (n named, err error) {
	b, err := p.call(ctx, p.nodeAddr(), wire.KName, wire.Marshal(q))
	if err == nil {
		err = wire.Unmarshal(b, &n.Named)
	}
	return n, err
}

// FindActor gives the handle of the living actor of a name whose state is of the Go type state.
func (p *Process) FindActor(ctx context.Context, namespace, name, state string, t *Type) (*Future, error) {
	if namespace == "" {
		namespace = wire.DefaultNamespace
	}
	n, err := p.askName(ctx, &wire.NameQuery{Op: wire.NameFind, Namespace: namespace, Name: name})
	switch {
	case err != nil:
		return nil, err
	case n.Actor.IsZero():
		return nil, fmt.Errorf("%w: no living actor has the name %q in namespace %q", ErrNotFound, name, namespace)
	case n.State != cut(state):
		return nil, wrongState(namespace, name, n, state)
	}
	return p.actorHandle(n.Actor, n.Owner, n.location(), t)
}

func wrongState(namespace, name string, n named, want string) error {
	return fmt.Errorf("kadre: the actor named %q in namespace %q is a %s (made by %s), not a %s: ask for an Actor[%[3]s]", name, namespace, n.State, n.Class, want)
}

// SelfActor gives the handle of the actor whose method's task has the context ctx; nil where it is none.
func SelfActor(ctx context.Context, t *Type) (*Future, any, error) {
	a := onActor(ctx)
	if a == nil {
		return nil, nil, nil
	}
	p := ProcessOf(ctx)
	f, err := p.actorHandle(a.id, a.owner, Location{Node: p.self.Node, Proc: p.self.Proc, Incarnation: 1, Named: a.claim != nil}, t)
	return f, a.state, err
}

// actorHandle gives the handle of an actor that is known to live at at. It is the one that this process has, if it has one;
// else its owner, who may be gone, is not asked where the actor is.
func (p *Process) actorHandle(actor id.Actor, owner id.Addr, at Location, t *Type) (*Future, error) {
	e, err := codec.EncodeValue(nil, at)
	if err != nil {
		return nil, err
	}
	data := e.Bytes()
	i := id.Task(actor).Object(0)
	p.mu.Lock()
	forgotten := owner == p.self && p.objects[i] == nil
	making := at.addr() == p.self && p.actors[actor] == nil
	p.mu.Unlock()
	if forgotten {
		f := t.New(p)
		f.cold().name = &name{id: i, handle: true}
		p.fill(f, data)
		p.identify(f)
		return f, nil
	}
	f := p.Borrow(codec.Ref{ID: i, Owner: owner}, t)
	if owner != p.self && !making && !f.Ready() {
		p.fill(f, data)
	}
	return f, nil
}

// ActorOf names the actor of a handle.
func ActorOf(h *Future) id.Actor {
	if at, ok := h.location(); ok && !at.Actor.IsZero() {
		return at.Actor // its name had that one already
	}
	return id.Actor(h.ID().Task())
}

// cut bounds what is told of a class.
func cut(s string) string { return s[:min(len(s), wire.MaxName)] }

// Actors lists the actors of all nodes. Nodes that did not answer are in the error.
func (p *Process) Actors(ctx context.Context) ([]waits.Actor, error) {
	b, err := p.call(ctx, p.nodeAddr(), wire.KStatus, wire.Marshal(&wire.StatusQuery{What: "all actors"}))
	if err != nil {
		return nil, err
	}
	var l struct {
		Rows   []waits.Actor `json:"rows"`
		Silent []struct {
			Node id.Node `json:"node"`
			Why  string  `json:"why"`
		} `json:"silent"`
	}
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, fmt.Errorf("kadre: list of actors: %w", err)
	}
	for _, s := range l.Silent {
		err = errors.Join(err, &UnavailableError{Text: fmt.Sprintf("node %s did not list its actors: %s", s.Node.Short(), s.Why)})
	}
	return l.Rows, err
}
