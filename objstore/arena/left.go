package arena

// Left says how much room there is after empty slabs became granules again: bytes in free granules, and in the
// longest run of them, which is the largest object that fits.
func (a *Arena) Left() (free, run int64) {
	if a.closed.Load() {
		return 0, 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closeSlabs()
	return a.leftLocked()
}

func (a *Arena) leftLocked() (free, longest int64) {
	run := int64(0)
	for g := range a.granules {
		if !vacant(a.grans[g].Load()) {
			run = 0
			continue
		}
		run += Granule
		free += Granule
		longest = max(longest, run)
	}
	return free, longest
}
