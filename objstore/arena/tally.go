package arena

// Tally is what is in the arena, in figures: [Arena.Audit] without the checks, for who looks often.
type Tally struct {
	Objects   int   // in any state
	Holders   int   // holds of all clients
	Bytes     int64 // size of what is sealed
	Room      int   // tagged blocks and granules
	Committed int64 // bytes of data that have pages
}

// Tally counts. While others work the figures need not fit together.
func (a *Arena) Tally() (t Tally) {
	if a.closed.Load() {
		return t
	}
	for e := range a.high() {
		en := &a.entries[e]
		w := en.main.Load()
		switch stateOf(w) {
		case free:
			continue
		case sealed, doomed:
			t.Bytes += int64(en.size.Load())
			t.Holders += len(a.holders(e, w))
		}
		t.Objects++
	}
	t.Committed = a.committed() * Granule
	for g := range a.committed() {
		switch w := a.grans[g].Load(); {
		case hole(w):
			t.Committed -= Granule
		case w&kindMask == granLarge:
			t.Room++
		case w&kindMask != granFree:
			for b := g * perGranule; b < (g+1)*perGranule; b++ {
				t.Room += count(a.blocks[b].Load() != 0)
			}
		}
	}
	return t
}
