package main

import (
	"maps"
	"testing"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"8GiB": 8 << 30, "512 MiB": 512 << 20, "4096": 4096, "1kB": 1000, "1.5K": 1536, "2TB": 2e12, "7B": 7} {
		var s size
		if err := s.Set(text); err != nil || int64(s) != want {
			t.Errorf("%s is %d, %v; want %d", text, s, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "0", "x", "NaN", "1e30", "9e9TiB"} {
		var s size
		if err := s.Set(text); err == nil {
			t.Errorf("%q is taken as %d", text, s)
		}
	}
	for n, want := range map[int64]string{1: "1B", 1024: "1KiB", 8 << 30: "8GiB", 1536: "1.5KiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is printed %s, want %s", n, got, want)
		}
	}
}

func TestPairs(t *testing.T) {
	var p pairs
	if err := p.Set("a=1, b = 2"); err != nil {
		t.Fatal(err)
	}
	if err := p.Set("c="); err != nil || !maps.Equal(p, pairs{"a": "1", "b": "2", "c": ""}) {
		t.Errorf("pairs are %v, %v", p, err)
	}
	if p.String() != "a=1,b=2,c=" {
		t.Errorf("printed %s", p.String())
	}
	for _, bad := range []string{"", "a", "=1", "a=1,"} {
		if err := new(pairs).Set(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	var a amounts
	if err := a.Set("gpu=2,licence=0.5"); err != nil || a["licence"] != 0.5 || a.String() != "gpu=2,licence=0.5" {
		t.Errorf("amounts are %v, %v", a, err)
	}
	if err := a.Set("memory=2GiB"); err != nil || a["memory"] != 2<<30 || a.String() != "gpu=2,licence=0.5,memory=2GiB" {
		t.Errorf("amounts are %v, %v", a.String(), err)
	}
	for _, bad := range []string{"memory=2GiBB", "a=x", "a=-1", "a=Inf", "a=NaN"} {
		if err := new(amounts).Set(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestVariable(t *testing.T) {
	if v := variable("object-store-memory"); v != "KADRE_OBJECT_STORE_MEMORY" {
		t.Error(v)
	}
}
