package proc

import (
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// refers asks a process who refers to objects.
func (p *Process) refers(ids ...id.Object) wire.Referred {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.referredLocked(ids)
}

// TestReferred asks a process for references of all kinds: what it has, what it let go since it was asked, what a value refers to that
// it has and that nobody decoded, and what is its own.
func TestReferred(t *testing.T) {
	p := unheard(t)
	there := id.Addr{Node: "there", Proc: 9}
	other := func(n uint64) id.Object { return id.TaskOf(there.Proc, n).Object(0) }
	mine := done(p)
	own := p.Escape(mine).ID
	forget := func(i id.Object) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.forgetBorrowedLocked(p.objects[i])
	}
	borrow := func(n uint64) *Future { return p.Borrow(codec.Ref{ID: other(n), Owner: there}, intType) }
	f, early, late := borrow(1), borrow(2), borrow(3)
	forget(other(2)) // before anybody asked
	if r := p.refers(other(1), other(2), own); len(r.Used) != 1 || r.Used[0] != other(1) || len(r.Owned) != 1 || r.Owned[0] != own {
		t.Fatalf("%+v", r)
	}
	forget(other(3))
	if r := p.refers(other(2), other(3)); len(r.Used) != 1 || r.Used[0] != other(3) || r.Noted <= 0 {
		t.Errorf("of what it let go since it was asked: %+v", r)
	}
	p.let.asked = time.Now().Add(-2 * letFor)
	if r := p.refers(other(3)); len(r.Used) != 0 || r.Noted > time.Minute {
		t.Errorf("after a long time: %+v", r)
	}
	// A value that refers to another object.
	in := codec.Ref{ID: other(4), Owner: there}
	data := withRef(t, in)
	p.noteInside(f.object(), data)
	if r := p.refers(other(4)); len(r.Used) != 1 {
		t.Errorf("inside a value: %+v", r)
	}
	forget(other(1))
	if r := p.refers(other(4), other(1)); len(r.Used) != 2 {
		t.Errorf("inside a value that was let go: %+v", r)
	}
	for _, f := range []*Future{f, early, late, mine} {
		f.Process() // until here they are in use
	}
}

// refIn is a value with a reference inside.
type refIn struct{ ref codec.Ref }

func (r *refIn) EncodeSpecial(e *codec.Encoder) error {
	i, err := e.AddRef(r.ref)
	e.Uvarint(uint64(i))
	return err
}

func (r *refIn) DecodeSpecial(*codec.Decoder) error { return nil }

// withRef is the encoding of a value that refers to r.
func withRef(t *testing.T, r codec.Ref) []byte {
	t.Helper()
	e, err := codec.EncodeValue(nil, []refIn{{r}})
	if err != nil {
		t.Fatal(err)
	}
	if refs, err := codec.Refs(e.Bytes()); err != nil || len(refs) != 1 || refs[0].ID != r.ID {
		t.Fatalf("%v: %v", refs, err)
	}
	return e.Bytes()
}
