// Command pipeline reads a stream of batches while it is made: a generator yields them, one task checks each, and a
// total goes on all the while. Nothing is held but what is unread: the generator waits for its reader.
//
//	go run ./examples/pipeline [-batches 200]
package main
