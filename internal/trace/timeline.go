package trace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Recorded is what one process recorded.
type Recorded struct {
	PID   int
	Name  string // for people
	Marks []Mark
}

// entry is an event of the trace-event format, as Perfetto and chrome://tracing read it. Times are microseconds.
type entry struct {
	Name  string         `json:"name"`
	Cat   string         `json:"cat,omitempty"`
	Phase string         `json:"ph"`
	Time  float64        `json:"ts"`
	Dur   *float64       `json:"dur,omitempty"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	ID    int            `json:"id,omitempty"`
	Bind  string         `json:"bp,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// slice is something with a begin and an end on a track.
type slice struct {
	Mark
	pid, track int
	name       string
}

// process is one process while its timeline is made.
type process struct {
	Recorded
	runs    []*slice
	others  []*slice // waits, and submissions by goroutines that are no task's
	runsOf  map[uint64][]*slice
	names   map[uint64][]Mark
	submits map[uint64][]Mark
	tracks  int
	flows   []flow
}

// flow leads from where a task was submitted over its run to where it was waited for.
type flow struct {
	from, run, to *slice
	at            int64 // of the submission
}

const (
	firstTrack = 1       // of a process
	maxPID     = 1 << 22 // no process has a higher number
)

// Timeline writes what processes recorded in the trace-event format: a track for each task that ran at a time, waits
// within them, and flows from submission to run to wait.
func Timeline(w io.Writer, all []Recorded) error {
	byID := map[string]*slice{}
	var ps []*process
	first := int64(0)
	used := map[int]bool{}
	for _, r := range all {
		for used[r.PID] { // of another machine, or another time
			r.PID += maxPID
		}
		used[r.PID] = true
		p := gather(r)
		ps = append(ps, p)
		p.layOut()
		for _, s := range p.runs {
			if id := nameAt(p.names[s.Task], s.Start); id != "" {
				byID[id] = s
			}
		}
		for _, m := range r.Marks {
			if first == 0 || m.Start < first {
				first = m.Start
			}
		}
	}
	out := []entry{}
	for _, p := range ps {
		p.connect(byID)
		out = append(out, p.entries(first)...)
	}
	id := 0
	for _, p := range ps {
		for _, f := range p.flows {
			id++
			out = append(out, f.entries(id, first)...)
		}
	}
	return json.NewEncoder(w).Encode(map[string]any{"displayTimeUnit": "ms", "traceEvents": out})
}

// gather sorts a process's marks.
func gather(r Recorded) *process {
	p := &process{Recorded: r, runsOf: map[uint64][]*slice{}, names: map[uint64][]Mark{}, submits: map[uint64][]Mark{}}
	slices.SortStableFunc(r.Marks, func(a, b Mark) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End)) })
	for _, m := range r.Marks {
		switch m.Kind {
		case Ran:
			s := &slice{m, r.PID, 0, m.Func}
			p.runs = append(p.runs, s)
			p.runsOf[m.Task] = append(p.runsOf[m.Task], s)
		case Waited:
			p.others = append(p.others, &slice{m, r.PID, 0, "wait for " + m.Func})
		case Named:
			p.names[m.Task] = append(p.names[m.Task], m)
		case Submitted:
			p.submits[m.Task] = append(p.submits[m.Task], m)
			if m.Other == 0 {
				m.End = m.Start + 1000
				p.others = append(p.others, &slice{m, r.PID, 0, "submit " + m.Func})
			}
		}
	}
	return p
}

// layOut gives each slice a track on which it overlaps no other one, but lies within those it is part of.
func (p *process) layOut() {
	type track struct{ open []*slice }
	var tracks []*track
	fits := func(t *track, s *slice) bool {
		for len(t.open) > 0 && t.open[len(t.open)-1].End <= s.Start {
			t.open = t.open[:len(t.open)-1]
		}
		return len(t.open) == 0
	}
	place := func(s *slice, within *slice) {
		if within != nil {
			t := tracks[within.track-firstTrack]
			fits(t, s)
			if top := t.open; len(top) > 0 && slices.Contains(top, within) && top[len(top)-1].End >= s.End {
				s.track = within.track
				t.open = append(t.open, s)
				return
			}
		}
		for i, t := range tracks {
			if fits(t, s) {
				s.track, t.open = firstTrack+i, append(t.open, s)
				return
			}
		}
		tracks = append(tracks, &track{[]*slice{s}})
		s.track = firstTrack + len(tracks) - 1
	}
	both := slices.Concat(p.runs, p.others)
	slices.SortStableFunc(both, func(a, b *slice) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End)) })
	for _, s := range both {
		var within *slice
		if s.Kind == Waited && s.Task != 0 {
			within = p.running(s.Task, s.Start)
		}
		place(s, within)
	}
	p.tracks = len(tracks)
}

// running is the run of a task at a time, where it has been placed.
func (p *process) running(task uint64, at int64) *slice {
	for _, s := range p.runsOf[task] {
		if s.Start <= at && at <= s.End && s.track != 0 {
			return s
		}
	}
	return nil
}

// nameAt is the last name of a task up to a time.
func nameAt(names []Mark, at int64) (id string) {
	for _, m := range names {
		if m.Start <= at {
			id = m.ID
		}
	}
	return id
}

// connect finds the flows that begin in a process.
func (p *process) connect(byID map[string]*slice) {
	submitted := map[*slice]bool{}
	var waits []*slice
	for _, s := range p.others {
		if s.Kind == Waited {
			waits = append(waits, s)
		}
	}
	waitsOf := map[uint64][]*slice{}
	for _, s := range waits {
		waitsOf[s.Other] = append(waitsOf[s.Other], s)
	}
	from := map[Mark]*slice{}
	for _, s := range p.others {
		if s.Kind == Submitted {
			m := s.Mark
			m.End = 0
			from[m] = s
		}
	}
	for task, ms := range p.submits {
		for i, m := range ms {
			end := int64(always)
			if i+1 < len(ms) {
				end = ms[i+1].Start
			}
			f := flow{at: m.Start, from: from[m]}
			if f.from == nil {
				f.from = p.running(m.Other, m.Start)
			}
			f.run = find(p.runsOf[task], m.Start, end)
			if f.run == nil {
				f.run = byID[nameBetween(p.names[task], m.Start, end)]
			}
			if f.from == nil || f.run == nil || f.run.Start < m.Start || submitted[f.run] {
				continue
			}
			submitted[f.run] = true
			for _, w := range waitsOf[task] {
				if w.End > w.Start && w.End > f.run.Start && w.Start >= m.Start && w.End < end {
					f.to = w
					break
				}
			}
			p.flows = append(p.flows, f)
		}
	}
	slices.SortFunc(p.flows, func(a, b flow) int { return cmp.Compare(a.at, b.at) })
}

// find is the first run within a time.
func find(runs []*slice, from, end int64) *slice {
	for _, s := range runs {
		if s.Start >= from && s.Start < end {
			return s
		}
	}
	return nil
}

func nameBetween(names []Mark, from, end int64) string {
	for _, m := range names {
		if m.Start >= from && m.Start < end {
			return m.ID
		}
	}
	return ""
}

func micros(ns int64) float64 { return float64(ns) / 1000 }

func (p *process) entries(first int64) []entry {
	out := []entry{{Name: "process_name", Phase: "M", PID: p.PID, Args: map[string]any{"name": p.Name}}}
	for i := range p.tracks {
		out = append(out, entry{Name: "thread_name", Phase: "M", PID: p.PID, TID: firstTrack + i, Args: map[string]any{"name": fmt.Sprintf("track %d", i+1)}})
	}
	for _, s := range slices.Concat(p.runs, p.others) {
		d := micros(s.End - s.Start)
		cat := map[int]string{Ran: "task", Waited: "wait", Submitted: "submit"}[s.Kind]
		e := entry{Name: s.name, Cat: cat, Phase: "X", Time: micros(s.Start - first), Dur: &d, PID: p.PID, TID: s.track}
		if id := nameAt(p.names[s.Task], s.Start); id != "" && s.Kind == Ran {
			e.Args = map[string]any{"task": id}
		}
		out = append(out, e)
	}
	return out
}

// entries are the flow's points: at the submission, at the begin of the run, and at the end of a wait.
func (f *flow) entries(id int, first int64) []entry {
	point := func(phase string, s *slice, at int64) entry {
		return entry{Name: f.run.name, Cat: "flow", Phase: phase, Time: micros(at - first), PID: s.pid, TID: s.track, ID: id, Bind: "e"}
	}
	out := []entry{point("s", f.from, f.at)}
	if f.to == nil {
		return append(out, point("f", f.run, f.run.Start))
	}
	return append(out, point("t", f.run, f.run.Start), point("f", f.to, f.to.End))
}
