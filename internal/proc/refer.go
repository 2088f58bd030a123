package proc

import (
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// Who owned an object may be gone, and counts nobody any more who refers to it. Then the nodes that have copies ask all
// processes, again and again while there are such objects (package node, orphans.go). A reference may go from one process to
// another meanwhile, so that neither has it when it is asked. So from the first question on each notes what it lets go: who sends
// a reference has it until the receiver is there, and at the time when a round of questions began somebody had it, who has it
// still or has noted that it went.

const (
	letFor  = 2 * time.Minute // a note is kept, and without a question notes are taken: longer than any round of questions takes
	maxLet  = 1 << 17         // notes; beyond it they begin anew
	letLook = 1 << 10         // notes between two looks for old ones
)

// let is the references to other processes' objects that this process let go lately. Process.mu guards it.
type let struct {
	since  time.Time // when notes began; zero: none are taken
	asked  time.Time // when somebody asked last
	gone   map[id.Object]time.Time
	looked int                       // notes when old ones were removed last
	inside map[id.Object][]id.Object // by borrowed object: to what its value refers, which came in a message and may not be decoded yet
}

// goLocked notes that a reference to an object goes, and what only its value referred to.
func (l *let) goLocked(o id.Object) {
	in := l.inside[o]
	if in != nil {
		delete(l.inside, o)
	}
	if l.since.IsZero() {
		return
	}
	now := time.Now()
	if now.Sub(l.asked) > letFor || len(l.gone)+len(in) >= maxLet {
		l.since, l.gone = time.Time{}, nil
		return
	}
	for _, o := range in {
		l.gone[o] = now
	}
	l.gone[o] = now
	if len(l.gone) > l.looked+letLook {
		l.oldGo(now)
	}
}

// oldGo removes notes that nobody can ask for any more.
func (l *let) oldGo(now time.Time) {
	for o, at := range l.gone {
		if now.Sub(at) > letFor {
			delete(l.gone, o)
		}
	}
	l.looked = len(l.gone)
}

// askedLocked begins or goes on to note, and says for how long that has been done.
func (l *let) askedLocked() time.Duration {
	now := time.Now()
	if l.since.IsZero() || now.Sub(l.asked) > letFor {
		l.since, l.gone = now, map[id.Object]time.Time{}
	}
	l.asked = now
	l.oldGo(now)
	return now.Sub(l.since)
}

// noteInside keeps to what a value refers that another process sent in a message.
func (p *Process) noteInside(o *object, data []byte) {
	if o.owner == p.self || !codec.HoldsRefs(data) {
		return
	}
	refs, err := codec.Refs(data)
	if err != nil {
		return // decoding says so
	}
	ids := make([]id.Object, len(refs))
	for i := range refs {
		ids[i] = refs[i].ID
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objects[o.id] == o {
		if p.let.inside == nil {
			p.let.inside = map[id.Object][]id.Object{}
		}
		p.let.inside[o.id] = ids
	}
}

// onRefer answers a node that has copies of objects whose owners may be gone.
func (p *Process) onRefer(f *wire.Frame) {
	m, ok := body[wire.Refer](p, f)
	if !ok {
		return
	}
	p.mu.Lock()
	r := p.referredLocked(m.IDs)
	p.mu.Unlock()
	p.reply(f, wire.Marshal(&r))
}

func (p *Process) referredLocked(ids []id.Object) (r wire.Referred) {
	r.Noted = p.let.askedLocked()
	inside := sync.OnceValue(func() map[id.Object]bool { // mostly nobody needs it
		all := map[id.Object]bool{}
		for _, in := range p.let.inside {
			for _, o := range in {
				all[o] = true
			}
		}
		return all
	})
	for _, i := range ids {
		o, t := p.objects[i], i.Task()
		switch _, gone := p.let.gone[i]; {
		case o != nil && o.owner == p.self && o.given.IsZero(), i.Index() == 0 && t.Of() == p.id:
			r.Owned = append(r.Owned, i)
		case o != nil || gone || inside()[i], t.Of() == p.id && (p.objects[t.Object(0)] != nil || p.streams[t] != nil):
			r.Used = append(r.Used, i)
		}
	}
	return r
}
