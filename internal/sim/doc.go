// Package sim runs many protocol machines in one goroutine under a virtual clock, and replays by seed.
//
// The nouns: a [World] holds the clock, the queue of what is to happen and the random numbers; a node is a
// number in it that is up or down and has an incarnation; a message goes from node to node through a [Net]
// that delays, loses and duplicates. What a node does with a message is the function given to [New]; the
// machines themselves are the test's.
//
// Everything is used from one goroutine. Things happen in the order of their time, and at the same time in
// the order in which they were planned; so a run depends on its seed alone (and on the test not ranging over
// maps). A World does not simulate clocks that drift, and messages have no size.
//
// Rejected: testing/synctest for this: goroutines order themselves, and thousands of machines are slow.
package sim
