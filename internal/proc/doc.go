// Package proc is what any process attached to a node is, a driver or a worker: a client of the node's
// arena, one end of its rings, a table of references, a registry of functions, and an engine of executors.
//
// The nouns: a [Process] is the attachment; a [Future] is a task's result, an object or an actor's handle
// as this process sees it; a [Func] is a registered function without its types, a [Type] a value's; an
// object entry is what a future gets when its reference leaves the process. Who lives where is the node's
// business (internal/node); who counts references and decides what an object's owner does is
// objstore/owner's; this package carries out what they say.
//
// A future costs nothing but itself until it escapes: then it gets an ID, an entry in the table, a weak
// pointer from the table and a cleanup. So does a small value that was put; a large one goes to the arena at
// once, and what a [Buffer] fills in place is there from the start. Go's collector counts references within a process; the owner's
// table counts processes.
//
// A driver all of whose tasks run in a worker process has a feed (feed.go): a task there is a slot and a short frame on
// the ring that the two share, and the worker's intake (intake.go) starts it on the poll goroutine itself where it is
// short (carry.go).
//
// Concurrency: everything exported may be called by any goroutine. Frames are handled on one poll
// goroutine, which never blocks: what waits (decoding, pulling, constructing) runs on goroutines or on
// the engine.
//
// CPUs of the node are words in shared memory that its processes share without anybody's help: each writes what it
// has and whether it wants more, and each knows from that who is next. A process above its job's fair share gives a
// word up between two tasks; where words cannot be halved, those who wait take turns of some 20 ms. A free word is
// left for 10 ms at most to who deserves it more: that one may be stopped.
//
// Lock order: Process.mu, then feed.mu, then links' and calls' own locks. No callback of users runs under Process.mu,
// nor does a future finish under it.
//
// Rejected: reference counting by hand (Go values are copied freely); a table entry for every task (the
// in-process call would cost three times as much); the node as who hands out CPUs (a message for each task that
// blocks); giving a word to who waits longest (a job of many processes then gets more than one of one).
//
// A call to a parked worker, rejected, medians: looking for the answer for 50 us without a break (200 us: the kernel wakes the
// worker on the CPU of who woke it, where it waits until the look has ended, and the getter is asleep when the answer
// comes); looking so for 150 us (235 us); yielding between looks (54 us on a quiet machine, 300 beside other work: a yield does not always give
// the CPU away). Dozing on the ring is 115 to 169 us there. An argument by reference, rejected: a future, an
// object and a registration with the owner for each (2.0 us in the caches; a hold and nothing else 1.45).
//
// A Get of 1 KiB, rejected, each built into Get, medians of samples of 20,000 beside other work; as it is 230 to 290 ns on huge pages,
// 240 to 560 without: values cut from pieces of memory that several share, which a sync.Pool keeps: of 2 KiB 385 ns, of 3 KiB
// 250 to 300, of 4 KiB 270 to 290, of 6 KiB 250, of 8 KiB 275, and of 32 KiB 200 to 240 (194 without the pool), where one kept value keeps 31 others;
// the same pieces without clearing them first, or with the lines of the next value fetched ahead (PREFETCHW), no faster.
package proc
