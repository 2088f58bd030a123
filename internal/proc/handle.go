package proc

import (
	"errors"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// A handle that travels tells where its actor lives, once that is known: who gets it calls the actor without asking
// the process that made it, which may have ended.

// EncodeLocation writes where the actor of a handle lives, or that it is not known yet.
func EncodeLocation(e *codec.Encoder, h *Future) {
	at, ok := h.location()
	if !ok {
		e.Byte(0)
		return
	}
	e.Byte(1)
	e.Text(string(at.Node))
	e.Uvarint(uint64(at.Proc))
	e.Uvarint(at.Incarnation)
	named := byte(0)
	if at.Named {
		named = 1
	}
	e.Byte(named)
	e.Bytes(at.Actor[:])
}

// DecodeLocation reads what EncodeLocation wrote; false where the location was not known.
func DecodeLocation(d *codec.Decoder) (at Location, known bool, err error) {
	is, err := d.Byte()
	if err != nil || is == 0 {
		return at, false, err
	}
	n, err1 := d.Text()
	proc, err2 := d.Uvarint()
	inc, err3 := d.Uvarint()
	named, err4 := d.Byte()
	actor, err5 := d.Bytes()
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return at, false, err
	}
	if is != 1 || n == "" || len(n) > wire.MaxName || named > 1 || len(actor) != len(at.Actor) {
		return at, false, errors.New("kadre: the location in an actor's handle is damaged")
	}
	at = Location{Node: id.Node(n), Proc: id.Proc(proc), Incarnation: inc, Named: named == 1}
	copy(at.Actor[:], actor)
	return at, true, nil
}

// location is where the actor of a handle lives, if that is known.
func (h *Future) location() (at Location, ok bool) {
	if !h.Ready() || h.Failure() != nil {
		return at, false
	}
	data, _, err := h.encoded()
	if err != nil {
		return at, false
	}
	at, err = codec.DecodeValue[Location](nil, data)
	return at, err == nil
}

// HandleAt gives the handle that came as a reference with the location of its actor.
func (p *Process) HandleAt(r codec.Ref, at Location, t *Type) (*Future, error) {
	return p.actorHandle(id.Actor(r.ID.Task()), r.Owner, at, t)
}
