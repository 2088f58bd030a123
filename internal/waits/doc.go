// Package waits says who waits for whom, and finds those who wait for each other.
//
// The nouns: a [Row] is a task, or a number of tasks that are alike, as a listing shows it; a [Target] is what a
// row waits for; a key names a row among those of all processes; a [Cycle] is a ring of rows each of which waits
// for the next, so that none can ever go on.
//
// Rows are made where tasks live (internal/proc), put together by nodes (internal/node) and looked at here. It
// is pure: no goroutines, no clock, no I/O. Looks at several processes are never of one moment, so a cycle of
// one look is a candidate only. It is certain when a second look, begun after the first one ended, has all its
// waits with their numbers unchanged: a wait has one number from its begin to its end, so that there was a moment
// at which all of them lasted ([Confirmed]).
//
// What is not known counts as going on: a target without a row that waits, one that was left out of a long list.
//
// All functions may be called by many goroutines; there is no lock.
//
// Rejected: passing probes along edges from process to process (a message for each edge of each wait, and state in
// every process); an error after a time-out (a long wait is no deadlock).
package waits
