// Package trace keeps the recent events of a node, so that what happened can be asked afterwards.
//
// An [Event] is one line of what a layer did, to whom, with which task. A [Ring] holds the last Size of
// them, in the order in which they were added; older ones are overwritten and counted. Any goroutine may
// add and read. Nothing is written to disk and nothing leaves the node unless asked for.
//
// Lock order: Ring's mutex is a leaf.
package trace
