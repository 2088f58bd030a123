package proc

import (
	"sync"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	// outMost is how many results go in one message at most, and outBytes about how many bytes they take.
	outMost  = 1024
	outBytes = 256 << 10
)

// outbox has the results of tasks of other processes that share nothing: the first goes at once, and those that come
// before its owner has answered go together then.
type outbox struct {
	p  *Process
	mu sync.Mutex
	to map[id.Addr][]*wire.Result // what waits, by owner: there is an entry while an answer is due
}

// alone says whether r is of a kind that may go with others: its owner answers nothing about it.
func alone(r *wire.Result) bool {
	return !r.Stored && len(r.Refs) == 0 && len(r.Further) == 0 && r.Items == 0
}

func (o *outbox) add(owner id.Addr, r *wire.Result) {
	o.mu.Lock()
	if waiting, due := o.to[owner]; due {
		o.to[owner] = append(waiting, r)
		o.mu.Unlock()
		return
	}
	if o.to == nil {
		o.to = map[id.Addr][]*wire.Result{}
	}
	o.to[owner] = nil
	o.mu.Unlock()
	o.send(owner, []*wire.Result{r})
}

func (o *outbox) send(owner id.Addr, rs []*wire.Result) {
	m := wire.Results{List: make([]wire.Result, len(rs))}
	d := wire.Done{Tasks: make([]id.Task, len(rs))}
	for i, r := range rs {
		m.List[i], d.Tasks[i] = *r, r.Task
	}
	o.p.request(owner, wire.KResults, wire.Marshal(&m), func([]byte, error) { o.next(owner) })
	o.p.notify(o.p.nodeAddr(), wire.KDone, wire.Marshal(&d)) // after the results: the node may end the process then
}

// next sends what has come meanwhile.
func (o *outbox) next(owner id.Addr) {
	o.mu.Lock()
	waiting := o.to[owner]
	n, bytes := 0, 0
	for n < len(waiting) && n < outMost && (n == 0 || bytes < outBytes) {
		bytes += len(waiting[n].Inline) + 128
		n++
	}
	rs := waiting[:n:n]
	if o.to[owner] = waiting[n:]; n == 0 {
		delete(o.to, owner)
	}
	o.mu.Unlock()
	if n > 0 {
		o.send(owner, rs)
	}
}

// busy says whether an owner has not answered yet.
func (o *outbox) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.to) > 0
}

// onResults takes outcomes of own tasks.
func (p *Process) onResults(f *wire.Frame) {
	m, ok := body[wire.Results](p, f)
	if !ok {
		return
	}
	to := f.Head()
	for i := range m.List {
		if r := &m.List[i]; alone(r) {
			p.result(r, func([]id.Object) {})
		}
	}
	p.reply(to, nil)
}
