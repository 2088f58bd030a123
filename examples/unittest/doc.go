// Package unittest shows how to test what runs as tasks. A task function is a function: most tests call it and
// need no runtime. One test runs the whole on a node embedded in the test's process, also with KADRE_ISOLATE=1,
// where every task runs in a process of its own:
//
//	go test ./examples/unittest
//	KADRE_ISOLATE=1 go test ./examples/unittest
package unittest
