// Package chaos breaks what runs, on purpose and at random, and checks that nothing is lost.
//
// The nouns: a [Plan] is a line of the table: what is broken and what must hold. A victim is a process that a
// plan starts from this executable and kills. A seed makes a plan's choices; the moments of the kills are the
// machine's.
//
// A plan runs alone and is not called by two goroutines at once. It ends its processes however it ends.
//
// It does not choose points inside of operations: a kill comes at any instruction. The tests of objstore/arena
// kill at chosen points.
package chaos
