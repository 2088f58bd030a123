package invariant

import "testing"

func TestCheck(t *testing.T) {
	Check(true, "invariant: one is %d", 1)
	defer func() {
		if r := recover(); (r != nil) != Enabled {
			t.Errorf("a broken invariant panics with %v where Enabled is %v", r, Enabled)
		}
	}()
	Check(false, "invariant: one is %d", 2)
}
