package owner

import "github.com/kadrehq/kadre/internal/id"

// want answers, or sees to it that there will be an answer.
func (t *Table) want(o id.Object) {
	r := t.recs[o]
	switch {
	case r == nil:
		t.do(Lost{o, Loss{Object: o}})
	case r.state == StateLost:
		t.do(Lost{o, *r.loss})
	case r.gone():
		t.remake(o, r)
	case r.state != StatePending:
		t.do(Ready{o})
	}
}

// remake starts the next attempt of an object whose value is gone and of all arguments that are gone too.
// When one of them cannot be made again, nothing starts and the object is lost.
func (t *Table) remake(o id.Object, r *record) {
	chain := []id.Object{o}
	seen := map[id.Object]bool{o: true}
	for i := 0; i < len(chain); i++ {
		c := t.recs[chain[i]]
		if l, is := c.lossOf(chain[i]); is {
			t.lose(o, r, l)
			return
		}
		for _, a := range c.args {
			arg := t.recs[a]
			led := c.of == a && arg.state != StatePending // it comes with that one's next attempt, or not at all
			if !seen[a] && (led || arg.gone() || arg.state == StateLost) {
				seen[a] = true
				chain = append(chain, a)
			}
		}
	}
	for i := len(chain) - 1; i >= 0; i-- {
		t.restart(chain[i])
	}
}

func (t *Table) restart(o id.Object) {
	r := t.recs[o]
	t.letGo(r)
	t.dropLineage(r)
	if len(r.holders) > 0 { // it is made again for what was made with it
		t.do(Free{o, r.attempt, r.holders})
		r.holders = nil
	}
	r.state, r.stored = StatePending, false
	r.remakes++
	t.repin(r, pinNeeded)
	if r.isResult() {
		r.attempt++
		t.do(Remake{o, r.attempt})
	}
}

func (t *Table) lose(o id.Object, r *record, why Loss) {
	t.letGo(r)
	t.dropLineage(r)
	r.state, r.loss = StateLost, &why
	t.repin(r, pinNone)
	t.do(Lost{o, why})
	t.touch(o)
}
