// Package actor is where the calls on an actor of this process wait and run.
//
// The nouns: a [Mailbox] has the calls on one actor and runs them one at a time, in the order in which they
// were pushed; a drain is whoever runs them at the moment; a [DiedError] says why a call has no result.
//
// # Who drains
//
//	Push            Assist or a drain task's start       end of a drain
//	1 lock          1 lock                               1 lock
//	2 append        2 draining already: leave            2 queue empty (or t ready): draining = false
//	3 nobody drains 3 draining = true (*)                3 calls left, no drain task: make one
//	  and no drain  4 unlock, run calls                  4 unlock, submit it
//	  task: make it
//	4 unlock, submit
//
// (*) makes it safe: draining has one owner at a time. A call is never stranded, because whoever ends a drain
// looks at the queue under the lock that Push appends under. An idle actor has no goroutine.
//
// A drain task takes no CPU slot of the engine. A getter of a call may drain on its own goroutine instead of
// waking another one (Assist); the drain task it made superfluous finds nothing to do.
//
// All methods may be called concurrently. Calls pushed by one goroutine run in its order; calls of several in
// the order in which their Pushes returned or would have. Everything a call did is visible to the next one.
//
// Close cannot stop running Go code: the call that is running is failed at once, and its goroutine goes on
// until it returns. Sessions between processes are package actor/session; names are not here yet.
//
// Locks: Mailbox.mu is a leaf; tasks are submitted, failed and run without it.
//
// Rejected: a goroutine per actor (a million idle actors would cost gigabytes of stacks); a chain of tasks,
// each depending on the one before (an allocation and a hand-over per call).
package actor
