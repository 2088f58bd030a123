// Package bench measures this runtime against the obvious way to do the same work in plain Go, and says
// so in words.
//
// The nouns: a [Scenario] is a line of the one table, with its exact work and that of its reference; a
// [Run] is a scenario set up; a sample is what one run of one side measured; a [Row] is the outcome: the
// medians of both sides' samples, their ratio and what else ran on the machine.
//
// The samples of both sides are interleaved (ours, reference, ours, …) after one unmeasured run of each,
// so that a machine that slows down slows both. A collection precedes every sample, so that no side pays
// for the other's garbage. Microbenchmarks live beside the code they measure; here are whole scenarios.
//
// Suite walk has the steps of the walkthrough, suite store the object store: in one process, in several, which
// are this executable again ([RunChild]), and through package api; suite local the engine in one process; suite
// wordcount the work of kadre demo on one node.
//
// Measure runs one scenario at a time and must not be called by two goroutines at once: they would
// measure each other. The package holds no lock.
//
// Rejected: testing.B, whose iteration count hides how much work a number stands for, and which can't
// interleave two sides.
package bench
