package demo

import (
	"context"
	"maps"

	"github.com/kadrehq/kadre/api"
)

// The stages of the word count.
const (
	stageRead  = "read"
	stageCount = "count"
	stageMerge = "merge"
)

// task names a task of the word count: a stage and which of its tasks.
type task struct {
	Stage string
	Index int
}

// Note is what a task tells the progress actor when it starts and when it is done.
type Note struct {
	Stage   string
	Index   int
	Node    api.NodeID
	PID     int
	Attempt int
	Done    bool
	Size    int // bytes of the result
}

// Progress is the actor that knows which node runs what.
type Progress struct {
	starts  map[task]int
	running map[task]api.NodeID
	done    map[task]Note // by the last to finish
}

// Report is what the progress actor knows.
type Report struct {
	Running []Note // the tasks that have started and not ended, on the node that was last to start each
	Done    []Note
	Again   int // starts of a task beyond its first
}

// The progress actor and its methods.
var (
	NewProgress = api.Class0(newProgress)
	Tell        = api.MethodProc1((*Progress).Tell)
	Ask         = api.Method0((*Progress).Ask)
)

func newProgress(context.Context) (*Progress, error) {
	return &Progress{starts: map[task]int{}, running: map[task]api.NodeID{}, done: map[task]Note{}}, nil
}

// Tell takes a note.
func (p *Progress) Tell(_ context.Context, n Note) error {
	t := task{n.Stage, n.Index}
	if n.Done {
		delete(p.running, t)
		p.done[t] = n
		return nil
	}
	p.starts[t]++
	p.running[t] = n.Node
	return nil
}

// Ask gives what is known.
func (p *Progress) Ask(context.Context) (Report, error) {
	var r Report
	for t, node := range p.running {
		r.Running = append(r.Running, Note{Stage: t.Stage, Index: t.Index, Node: node})
	}
	for n := range maps.Values(p.done) {
		r.Done = append(r.Done, n)
	}
	for _, n := range p.starts {
		r.Again += n - 1
	}
	return r, nil
}

// finished counts the tasks of a stage that are done, of one node or, with "", of all.
func (r Report) finished(stage string, node api.NodeID) (n int) {
	for _, d := range r.Done {
		if d.Stage == stage && (node == "" || d.Node == node) {
			n++
		}
	}
	return n
}

// running counts the map tasks that a node runs.
func (r Report) running(node api.NodeID) (n int) {
	for _, t := range r.Running {
		if t.Stage == stageCount && t.Node == node {
			n++
		}
	}
	return n
}
