// Package deque is the queue of runnable things that one executor owns and others steal from.
//
// The nouns: a [Deque] is a ring of [Elem]s under a mutex. Its owner pushes and pops at the tail, so that
// the newest, whose data is still warm, runs first; thieves take the older half from the head.
//
// Entries are hints: whoever runs an element claims it elsewhere, and an entry whose element has been
// claimed in the meantime is stale. Stale entries are dropped when met.
//
// Any goroutine may call any method. An element pushed before a thief's Steal is seen by it, since both
// hold the mutex. The package does not run, claim or count elements, and it wakes nobody.
//
// The mutex is a leaf: callbacks that run under it (Filter, Take) must not take a lock.
//
// Rejected: Chase-Lev. Contexts of a task may be used by any goroutine, so that a single owner is not
// given, and the uncontended mutex was not what the measured rows spent their time on. Also rejected: an
// element type that is a range; a range is an element whose run pushes the half it does not need.
package deque
