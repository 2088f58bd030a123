// Package trace keeps the recent events of a node, and what befell the tasks of processes, so that what happened can
// be asked afterwards.
//
// An [Event] is one line of what a layer did, to whom, with which task. A [Ring] holds the last Size of
// them, in the order in which they were added; older ones are overwritten and counted. Any goroutine may
// add and read. Nothing is written to disk and nothing leaves the node unless asked for.
//
// A [Mark] is a submission, run, wait or name of a task, a [Tape] the last of them in a process, and a [Timeline] what
// several processes recorded, for people. Tasks are recorded while that is turned on ([Record], KADRE_TRACE=1): all of
// functions that take long, one in 64 of those that do not, whose runs are timed in any case, so that recording costs
// next to nothing.
//
// Lock order: the mutexes of Ring and Tape are leaves.
package trace
