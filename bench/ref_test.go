package bench

import "testing"

func TestReferencesDoTheWork(t *testing.T) {
	for name, side := range map[string]Side{"goSync": goSync, "goAsync": goAsync, "chanSync": chanSync, "chanAsync": chanAsync,
		"copy 1 KiB": copyBytes(1 << 10), "copy 1 MiB": copyBytes(1 << 20)} {
		if v, err := side(t.Context(), 1000); err != nil || v <= 0 {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}
