// Package invariant holds the assertions of the project: statements that are true unless we have a bug.
//
// They cost nothing in a normal build. Built with the tag kadre_invariants, as the race run of .ci/run and
// the chaos suite are, a broken one panics. The one noun is the invariant, a sentence that starts with
// the name of its package and stands in docs/invariants.md.
//
// Race says whether the race detector is compiled in, for what its slowness and its memory would make meaningless.
//
// Check may be called by any goroutine and takes no lock. It is not for failures of the user's functions
// or of the system: those are errors.
//
// Rejected: a variable read from the environment, which leaves a load and a branch in paths of nanoseconds.
package invariant
