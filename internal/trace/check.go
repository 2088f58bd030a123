package trace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// Summary is what a timeline has.
type Summary struct {
	Slices, Flows, Gets int // Gets are flows that end where somebody waited
	Crossing            int // flows from one process to another
	Processes           int
}

// Check says whether data is a timeline as viewers want it: slices of a track lie beside or within each other, and each
// flow has one begin, one end, and points within slices in the order of time. It is for tests.
func Check(data []byte) (s Summary, err error) {
	var file struct {
		TraceEvents []entry `json:"traceEvents"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return s, err
	}
	if err := fields(data); err != nil {
		return s, err
	}
	tracks := map[[2]int][]entry{}
	flows := map[int][]entry{}
	for _, e := range file.TraceEvents {
		switch e.Phase {
		case "M":
			if e.Name == "process_name" {
				s.Processes++
			}
		case "X":
			if e.Dur == nil || *e.Dur < 0 || e.Time < 0 || e.Name == "" || e.TID == 0 {
				return s, fmt.Errorf("trace: bad slice %+v", e)
			}
			s.Slices++
			at := [2]int{e.PID, e.TID}
			tracks[at] = append(tracks[at], e)
		case "s", "t", "f":
			flows[e.ID] = append(flows[e.ID], e)
		default:
			return s, fmt.Errorf("trace: entry of phase %q", e.Phase)
		}
	}
	for at, es := range tracks {
		if err := nested(es); err != nil {
			return s, fmt.Errorf("trace: process %d, track %d: %w", at[0], at[1], err)
		}
	}
	for id, es := range flows {
		if err := connected(id, es, tracks); err != nil {
			return s, err
		}
		s.Flows++
		if len(es) == 3 {
			s.Gets++
		}
		if es[0].PID != es[1].PID {
			s.Crossing++
		}
	}
	return s, nil
}

// fields says whether each entry has what the format wants of all.
func fields(data []byte) error {
	var file struct {
		TraceEvents []struct {
			Name, Ph      *string
			Ts            *float64
			PID, TID, Dur *json.Number
		} `json:"traceEvents"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	for i, e := range file.TraceEvents {
		if e.Name == nil || e.Ph == nil || e.Ts == nil || e.PID == nil || e.TID == nil || (*e.Ph == "X") != (e.Dur != nil) {
			return fmt.Errorf("trace: entry %d lacks a field", i)
		}
	}
	return nil
}

const slack = 0.01 // microseconds: times are rounded to a nanosecond and written in decimals

// nested says whether the slices of a track lie beside or within each other.
func nested(es []entry) error {
	slices.SortStableFunc(es, func(a, b entry) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(*b.Dur, *a.Dur)) })
	var open []float64 // ends
	for _, e := range es {
		for len(open) > 0 && open[len(open)-1] <= e.Time+slack {
			open = open[:len(open)-1]
		}
		end := e.Time + *e.Dur
		if len(open) > 0 && end > open[len(open)-1]+slack {
			return fmt.Errorf("%s from %.3f to %.3f overlaps one that ends at %.3f", e.Name, e.Time, end, open[len(open)-1])
		}
		open = append(open, end)
	}
	return nil
}

// connected says whether a flow is whole.
func connected(id int, es []entry, tracks map[[2]int][]entry) error {
	if n := len(es); n < 2 || n > 3 || es[0].Phase != "s" || es[n-1].Phase != "f" {
		return fmt.Errorf("trace: flow %d has %d points", id, n)
	}
	for i, e := range es {
		if i > 0 && e.Time < es[i-1].Time-slack {
			return fmt.Errorf("trace: flow %d of %s goes back in time, from %.3f to %.3f", id, e.Name, es[i-1].Time, e.Time)
		}
		in := func(x entry) bool { return x.Time-slack <= e.Time && e.Time <= x.Time+*x.Dur+slack }
		if !slices.ContainsFunc(tracks[[2]int{e.PID, e.TID}], in) {
			return fmt.Errorf("trace: point %d of flow %d of %s lies in no slice", i, id, e.Name)
		}
	}
	return nil
}
