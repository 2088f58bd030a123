package proc

// maxRecent is how many names a recent remembers.
const maxRecent = 1024

// recent remembers the last names of what has ended: what comes late for these does not start. Its owner's lock guards it.
type recent[K comparable] struct {
	at   map[K]struct{}
	ring [maxRecent]K
	next int
}

func (r *recent[K]) add(name K) {
	if r.has(name) {
		return
	}
	if r.at == nil {
		r.at = map[K]struct{}{}
	}
	delete(r.at, r.ring[r.next])
	r.ring[r.next] = name
	r.at[name] = struct{}{}
	r.next = (r.next + 1) % maxRecent
}

func (r *recent[K]) has(name K) bool {
	_, ok := r.at[name]
	return ok
}
