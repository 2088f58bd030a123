package api

import (
	"context"
	"fmt"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/internal/wire"
)

// Arguments of a call for another process of this node, which the two share a ring with: what is small lies in the
// frame, for the rest it names objects that are ready.

const (
	// maxListed is how many elements a list has in a frame at most.
	maxListed = 1024
	// maxListBytes is how many bytes they take.
	maxListBytes = 4 * wire.MaxShortArgs
)

// stow makes objects of large arguments, so that they fit a frame. Where that fails they stay as they are.
func (s *signature) stow(h *proc.Future) {
	given := argsOf(h)
	for i := range given {
		if g := &given[i]; len(g.data) > wire.MaxShortArgs {
			if f, err := h.Process().Stow(h, g.data, g.keep); err == nil {
				*g = argument{dep: f}
			}
		}
	}
}

// forget lets go of the arguments of a call that has run elsewhere.
func (s *signature) forget(h *proc.Future) {
	if x := beside(h); x != nil {
		x.args = nil
	}
}

// pack appends the arguments of a call whose deps are done; false where they do not fit.
func (s *signature) pack(h *proc.Future, b []byte) ([]byte, bool) {
	given := argsOf(h)
	for i := range s.pos {
		var ok bool
		if i >= len(given) {
			b, ok = s.pos[i].packBare(b, s.at(h, i))
		} else {
			b, ok = s.packGiven(h, b, i, &given[i])
		}
		if !ok {
			return b, false
		}
	}
	return b, true
}

func (s *signature) packGiven(h *proc.Future, b []byte, i int, g *argument) ([]byte, bool) {
	pos := &s.pos[i]
	switch {
	case g.dep != nil && g.dep.IsSet() && !g.dep.Freed() && g.dep.Type() == pos.typ:
		return pos.packBare(b, pos.valueOf(g.dep))
	case g.dep != nil:
		return h.Process().PackReady(b, g.dep)
	case g.many:
		return packList(h.Process(), b, g.list)
	case g.data == nil:
		return pos.packBare(b, s.at(h, i))
	case len(g.data) > wire.MaxShortArgs:
		return b, false
	}
	if len(g.keep) == 1 && pos.plan.TopLevel() { // an Array is its object
		if f, ok := g.keep[0].(*proc.Future); ok && f.Finished() && f.Type() == pos.typ {
			return h.Process().PackReady(b, f)
		}
	}
	return append(wire.AppendArg(b, wire.ArgHead, len(g.data)), g.data...), true
}

func packList(p *proc.Process, b []byte, list []*proc.Future) ([]byte, bool) {
	if len(list) > maxListed {
		return b, false
	}
	var body []byte
	for _, f := range list {
		var ok bool
		if body, ok = p.PackReady(body, f); !ok || len(body) > maxListBytes {
			return b, false
		}
	}
	return append(wire.AppendArg(b, wire.ArgList, len(body)), body...), true
}

// unpack fills a call with packed arguments that came from a process.
func (s *signature) unpack(p *proc.Process, from id.Addr, h *proc.Future, b []byte) error {
	for i := range s.pos {
		form, value, rest, err := wire.ParseArg(b)
		if err != nil {
			return s.badArgument(i, err)
		}
		b = rest
		pos, into := &s.pos[i], s.at(h, i)
		switch form {
		case wire.ArgBare:
			err = pos.plan.DecodeBare(value, into)
		case wire.ArgHead:
			if pos.plan.HasRefs() { // decoded when the task runs: it may wait
				s.given(h)[i].data = append([]byte{}, value...)
				break
			}
			err = pos.plan.Decode(&decoding{p: p, ctx: context.Background()}, value, into)
		case wire.ArgRef:
			s.given(h)[i].ready, err = p.ReadyArg(value, from)
		default:
			g := &s.given(h)[i]
			g.many = true
			g.list, err = unpackList(p, from, value)
		}
		if err != nil {
			return s.badArgument(i, err)
		}
	}
	if len(b) != 0 {
		return fmt.Errorf("kadre: %s has %d bytes of arguments too many", s.fn.Run.Name, len(b))
	}
	return nil
}

// given is where arguments are until the task runs.
func (s *signature) given(h *proc.Future) []argument {
	x := beside(h)
	if x.args == nil {
		x.args = make([]argument, len(s.pos))
	}
	return x.args
}

func unpackList(p *proc.Process, from id.Addr, b []byte) (list []*proc.Future, err error) {
	for len(b) > 0 {
		form, value, rest, err := wire.ParseArg(b)
		if err != nil {
			return nil, err
		}
		b = rest
		var f *proc.Future
		switch {
		case len(list) >= maxListed || form != wire.ArgHead && form != wire.ArgRef:
			return nil, fmt.Errorf("kadre: a list with an element of form %d, after %d: %w", form, len(list), wire.ErrLimit)
		case form == wire.ArgRef:
			var r *proc.Ready
			if r, err = p.ReadyArg(value, from); err == nil {
				f = r.Future()
			}
		default:
			f = p.ReadyValue(append([]byte{}, value...))
		}
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}
