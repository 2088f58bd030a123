package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// Row is the outcome of a scenario. Its JSON is the contract of kadre bench --json.
type Row struct {
	Bench      string         `json:"bench"`
	Row        string         `json:"row"`
	Value      float64        `json:"value"` // median of Samples
	Unit       string         `json:"unit"`
	Ref        *float64       `json:"ref,omitempty"` // median of RefSamples
	RefName    string         `json:"ref_name,omitempty"`
	Ratio      *float64       `json:"ratio,omitempty"` // Value / Ref
	Better     string         `json:"better"`
	Samples    []float64      `json:"samples"`
	RefSamples []float64      `json:"ref_samples,omitempty"`
	ForeignCPU *float64       `json:"foreign_cpu,omitempty"` // cores that others used; nil where the system can't tell
	Commit     string         `json:"commit"`
	Allocs     *float64       `json:"allocs,omitempty"` // ours, per operation
	Extra      map[string]any `json:"extra,omitempty"`
}

// WriteJSON writes the row as one line.
func (r Row) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// WriteTable writes rows for people.
func WriteTable(w io.Writer, rows []Row) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "row\tvalue\tref\t\tratio\tallocs\tothers\t  against")
	for _, r := range rows {
		ref, ratio, allocs, foreign, against := "-", "-", "-", "-", "-"
		if r.Ref != nil {
			ref, ratio, against = digits(*r.Ref), fmt.Sprintf("%.2f", *r.Ratio), r.RefName
		}
		if r.Allocs != nil {
			allocs = fmt.Sprintf("%.1f", *r.Allocs)
		}
		if r.ForeignCPU != nil {
			foreign = fmt.Sprintf("%.2f", *r.ForeignCPU)
		}
		fmt.Fprintf(tw, "%s/%s\t%s\t%s\t%s\t%s\t%s\t%s\t  %s\n", r.Bench, r.Row, digits(r.Value), ref, r.Unit, ratio, allocs, foreign, against)
	}
	return tw.Flush()
}

// WriteList writes what each row's exact work is.
func WriteList(w io.Writer, table []Scenario) error {
	for i, s := range table {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s/%s (%s, %s is better)\n  %s\n", s.Bench, s.Name, s.Unit, s.Better, s.Work)
		if s.Named {
			fmt.Fprintf(w, "  measured only when it is named: needs root\n")
		}
		if s.RefName != "" {
			fmt.Fprintf(w, "  against: %s\n", s.RefName)
		}
	}
	return nil
}

// digits prints three or more significant digits without an exponent.
func digits(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}
