package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// size is a flag's number of bytes: "8GiB", "500MB", "4096".
type size int64

var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}, {"B", 1},
}

func (s *size) Set(text string) error {
	number, unit := strings.TrimSpace(text), 1.0
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v > 0) || v*unit >= math.MaxInt64 {
		return fmt.Errorf("%q is no size: write a number of bytes such as 512MiB or 8GiB", text)
	}
	*s = size(v * unit)
	return nil
}

func (s *size) String() string {
	if *s == 0 {
		return ""
	}
	return bytesText(int64(*s))
}

func (*size) Type() string { return "SIZE" }

// bytesText prints a number of bytes for people.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 || v == math.Trunc(v) {
		return fmt.Sprintf("%.0f%s", v, units[i])
	}
	return fmt.Sprintf("%.1f%s", v, units[i])
}

// pairs is a flag of the form k=v,k=v; it may be given more than once.
type pairs map[string]string

func (p *pairs) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		k, v, ok := strings.Cut(part, "=")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		if !ok || k == "" {
			return fmt.Errorf("%q is not of the form name=value", part)
		}
		if *p == nil {
			*p = pairs{}
		}
		(*p)[k] = v
	}
	return nil
}

func (p *pairs) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(*p)) {
		parts = append(parts, k+"="+(*p)[k])
	}
	return strings.Join(parts, ",")
}

func (*pairs) Type() string { return "K=V,…" }

// amounts is pairs whose values are numbers; that of memory is a size.
type amounts map[string]float64

func (a *amounts) Set(text string) error {
	var p pairs
	if err := p.Set(text); err != nil {
		return err
	}
	for k, v := range p {
		var bytes size
		if k == "memory" && bytes.Set(v) == nil {
			v = strconv.FormatInt(int64(bytes), 10)
		}
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || !(n >= 0) || math.IsInf(n, 0) {
			return fmt.Errorf("%s=%s: the amount must be a number that is not negative", k, v)
		}
		if *a == nil {
			*a = amounts{}
		}
		(*a)[k] = n
	}
	return nil
}

func (a *amounts) String() string {
	p := pairs{}
	for k, v := range *a {
		if p[k] = strconv.FormatFloat(v, 'g', -1, 64); k == "memory" {
			p[k] = bytesText(int64(v))
		}
	}
	return p.String()
}

func (*amounts) Type() string { return "K=N,…" }
