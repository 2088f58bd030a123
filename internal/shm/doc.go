// Package shm gives memory that several processes of one machine share, and the two things they need to
// meet in it: a futex to sleep on and a ring to send frames through.
//
// The nouns. A [Backing] says which kind of unnamed file holds the bytes: a detached tmpfs with huge pages,
// a memfd, or a file on disk, the first that works. A view is a plain []byte from [MapRW] or [MapRO]. A
// [Ring] carries frames one way from its [Producer] to its [Consumer]; a [RingPair] is two of them in one
// memfd, one each way. A doorbell is a futex word which belongs to whoever sleeps, see [Bell].
//
// Concurrency. Functions may be called by anyone. A Producer and a Consumer belong to one goroutine at a
// time each; the two ends are in different processes and share only the ring's memory. Frames arrive whole,
// in order, once. Neither end trusts the other: a position or a length that cannot be is an error
// ([ErrCorrupt]) and never a read outside of the ring. There are no locks, hence no lock order.
//
// Sleeping and waking, side by side. The step marked * is what makes it safe: each side writes its own word
// before it reads the other's, so at least one of the two sees the other.
//
//	consumer                          producer
//	1 Park: parked = 1                1 TryPut: head = new
//	2 * read head: anything?          2 * Notify: read parked
//	3 sleep on its doorbell           3 parked -> 0: bump and wake the consumer's doorbell
//
//	producer, ring full               consumer
//	1 TryPut: wants = 1               1 Advance: tail = new
//	2 * read tail: room now?          2 * read wants
//	3 sleep on its doorbell           3 wants -> 0: bump and wake the producer's doorbell
//
// A goroutine that waits for what comes on one ring dozes: its steps are the consumer's above, but that it sleeps on a word
// of the ring itself, so that nobody else of its process is woken.
//
// What it does not do: it never grows a file, never blocks in a ring, and does not restart a ring whose
// other end died; its owner makes a new one.
//
// Rejected: eventfd through Go's poller (10 ms late when all Ps are busy); a raw FUTEX_WAIT (keeps the P
// for 20 ms); slots of one size (a specification is 100 bytes, a batch 100 KiB); POSIX names under
// /dev/shm (outlive a crash, and can be opened by strangers).
package shm
