package arena

import "runtime/debug"

// faults says whether a store to b faults.
func faults(b []byte) (yes bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { yes = recover() != nil }()
	b[0]++
	return false
}
