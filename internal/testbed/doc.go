// Package testbed runs clusters of real processes for tests: the built command kadre as nodes, the test binary
// itself as drivers, and with root a network namespace of package testnet for each node.
//
// The nouns. A [Bed] is where the processes of one test live: a short folder below /tmp, with a runtime and a
// state folder, and a marker in the environment of every process. A [Process] is a program that was started
// there, a [Node] one that runs `kadre start`. A driver is the test binary started again; it runs one function
// of the table given to [Main] and speaks JSON lines with the test, through its [Stage]. A [Namespace] is a
// network namespace on a bridge that has a namespace of its own; the machine's own addresses stay untouched.
//
// A Bed's cleanup is itself a check: after kill -9 of everything that was started, no process with the marker
// may be left, no file in the runtime folder that the next look does not sweep, and no scratch folder.
//
// Concurrency. A Bed and what it starts belong to the test's goroutine, except [Process.Kill] and the methods
// that only read.
//
// It does not wait by sleeping: everything is waited for with [Until], within a bound.
//
// Rejected: nodes inside the test process (they cannot be killed), a folder per t.TempDir (its path is too long
// for a socket), killing by name (it would end what others run).
package testbed
