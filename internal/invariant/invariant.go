package invariant

import "fmt"

// Check panics with the sentence that should have held, where assertions are compiled in and ok is false.
// Where computing ok costs something, guard the call with Enabled.
func Check(ok bool, format string, args ...any) {
	if Enabled && !ok {
		panic("invariant: " + fmt.Sprintf(format, args...))
	}
}
