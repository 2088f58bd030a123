package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/words"
)

// findEvery is how often it looks for a node to kill.
const findEvery = 2 * time.Millisecond

// job is the word count.
type job struct {
	cluster *cluster
	screen  *screen
	text    *words.Corpus
}

// outcome is what one run gave.
type outcome struct {
	table       words.Table
	report      Report
	first, took time.Duration // to the first table, to the last
	moved       map[*member]status
}

// run counts all words on the cluster. With kill it ends a node in the middle.
func (j *job) run(ctx context.Context, kill bool) (o outcome, err error) {
	before := j.statuses(ctx)
	begin := time.Now()
	home := j.cluster.nodes[0].ID
	p := NewProgress.Options(api.OnNode(home, false)).Remote(ctx)
	if err := p.Ready(ctx); err != nil {
		return o, fmt.Errorf("demo: the progress actor: %w", err)
	}
	defer func() { err = errors.Join(err, p.Kill(ctx)) }()

	texts := make([]api.Ref[[]byte], len(j.text.Groups))
	tables := make([]api.Ref[words.Table], len(j.text.Groups))
	for i, g := range j.text.Groups {
		texts[i] = Read.Remote(ctx, p, i, g.Paths)
		tables[i] = Count.With(ctx, api.Value(p), api.Value(i), texts[i])
	}
	if kill {
		if err := j.kill(ctx, p, tables); err != nil {
			return o, err
		}
	}
	texts = nil // what no task still needs is freed
	root := reduce(ctx, p, tables)
	if _, _, err := api.Wait(ctx, tables); err != nil {
		return o, err
	}
	o.first = time.Since(begin)
	for done := false; !done; {
		if _, err := j.ask(ctx, p); err != nil {
			return o, err
		}
		ready, _, err := api.Wait(ctx, []api.Ref[words.Table]{root}, api.WithTimeout(drawEvery))
		if err != nil {
			return o, err
		}
		done = len(ready) > 0
	}
	if o.table, err = root.Get(ctx); err != nil {
		return o, fmt.Errorf("demo: the word count: %w", err)
	}
	o.took = time.Since(begin)
	if o.report, err = j.finished(ctx, p); err != nil {
		return o, err
	}
	o.moved = j.moved(ctx, before)
	j.screen.outcome(j.cluster, o)
	return o, nil
}

// reduce adds the tables up, neighbours first, as a tree.
func reduce(ctx context.Context, p api.Actor[Progress], tables []api.Ref[words.Table]) api.Ref[words.Table] {
	for n := 0; len(tables) > 1; {
		var next []api.Ref[words.Table]
		for i := 0; i+1 < len(tables); i += 2 {
			next = append(next, Merge.With(ctx, api.Value(p), api.Value(n), tables[i], tables[i+1]))
			n++
		}
		if len(tables)%2 == 1 {
			next = append(next, tables[len(tables)-1])
		}
		tables = next
	}
	return tables[0]
}

// killTries is how often the words are counted, at most, until a node could be killed in the middle: a fast count
// may end before there was such a moment.
const killTries = 6

var errTooSoon = errors.New("demo: all words were counted before another node both ran a map task and held the only copy of " +
	"an object: the corpus is too small to show this, name a larger one with --corpus")

// runAndKill is run with a node killed.
func (j *job) runAndKill(ctx context.Context) (o outcome, err error) {
	for try := 1; ; try++ {
		o, err = j.run(ctx, true)
		if !errors.Is(err, errTooSoon) || try == killTries {
			return o, err
		}
		j.screen.line("all words were counted before a node could be killed in the middle of it; once more")
	}
}

// kill waits for a node that runs a map task and holds the only copy of an object, and kills it.
func (j *job) kill(ctx context.Context, p api.Actor[Progress], tables []api.Ref[words.Table]) error {
	for {
		if done, err := j.killOne(ctx, p); done || err != nil {
			return err
		}
		ready, _, err := api.Wait(ctx, tables, api.NumReturns(len(tables)), api.WithTimeout(findEvery))
		if err != nil {
			return err
		}
		if len(ready) == len(tables) {
			return errTooSoon
		}
	}
}

// killOne kills such a node if there is one now.
func (j *job) killOne(ctx context.Context, p api.Actor[Progress]) (done bool, err error) {
	for _, m := range j.cluster.nodes[1:] { // the driver is attached to the first
		r, err := j.ask(ctx, p)
		if err != nil {
			return false, err
		}
		if r.running(m.ID) == 0 {
			continue
		}
		only, err := j.cluster.onlyAt(ctx, m)
		if err != nil {
			return false, err
		}
		if r, err = j.ask(ctx, p); err != nil { // it may have ended its task meanwhile
			return false, err
		}
		if running := r.running(m.ID); only > 0 && running > 0 {
			if err := m.kill(); err != nil {
				return false, err
			}
			j.screen.line("killed node %s while it ran %s and held the only copy of %s", m.Name, plural(running, "map task"), plural(only, "object"))
			return true, nil
		}
	}
	return false, nil
}

// ask gives what the progress actor knows, and shows it.
func (j *job) ask(ctx context.Context, p api.Actor[Progress]) (Report, error) {
	r, err := Ask.Remote(ctx, p).Get(ctx)
	if err != nil {
		return r, fmt.Errorf("demo: the progress actor: %w", err)
	}
	j.screen.progress(j.cluster, r, len(j.text.Groups))
	return r, nil
}

// finished waits for the last notes of the tasks.
func (j *job) finished(ctx context.Context, p api.Actor[Progress]) (r Report, err error) {
	err = poll(ctx, emptyWithin, func() (bool, error) {
		r, err = j.ask(ctx, p)
		return len(r.Running) == 0, err
	})
	if err != nil {
		return r, fmt.Errorf("demo: the progress actor did not hear of the end of %v, started again %d times: %w", r.Running, r.Again, err)
	}
	return r, nil
}

func (j *job) statuses(ctx context.Context) map[*member]status {
	all := map[*member]status{}
	for _, m := range j.cluster.living() {
		if s, err := m.status(ctx); err == nil { // it is only shown
			all[m] = s
		}
	}
	return all
}

// moved is what the nodes' counters have grown by.
func (j *job) moved(ctx context.Context, before map[*member]status) map[*member]status {
	now := j.statuses(ctx)
	for m, s := range now {
		b := before[m]
		s.Steals.TasksIn -= b.Steals.TasksIn
		s.Steals.TasksOut -= b.Steals.TasksOut
		s.Bytes.In -= b.Bytes.In
		s.Bytes.Out -= b.Bytes.Out
		now[m] = s
	}
	return now
}
