// Package arena is the shared memory of one node's processes in which sealed objects live. Every process maps
// it and works on it directly, without asking anyone; a process may be killed at any instruction, and the
// others go on.
//
// The nouns. An [Arena] is a process's view of the mapping. A client is a process in a numbered slot; the node
// that created the arena is client 0, admits the others and reaps them. An entry is one object: its name,
// place and state. A [Writer] fills an object that nobody sees yet; a [Hold] keeps a sealed one in place for
// whoever reads it. A granule is 64 KiB of data; large objects have granules of their own, small ones a block
// in a granule that is cut into blocks of one size (a slab). A doorbell is a process's word to sleep on.
//
// # States
//
// An entry's state, its generation, and who has it are one word, changed by one CAS:
//
//	FREE -> CREATING -> SEALED -> DOOMED -> EVICTING -> FREE
//	CREATING -> CREATING
//	CREATING -> FREE
//	SEALED -> SEALED
//	SEALED -> EVICTING
//	DOOMED -> DOOMED
//
// FREE -> CREATING by any client, which then owns the entry. CREATING -> CREATING when it is found to be the
// only one of its ID, or not. CREATING -> SEALED by the owner alone; -> FREE when the owner gives up. SEALED
// and DOOMED follow themselves when holder bits come and go (to DOOMED none comes). SEALED -> DOOMED by anyone:
// from here on lookups do not find it, and its index slot goes. SEALED -> EVICTING where no holder bit is set. A holder bit stays when its client has released
// the object, until somebody deletes it and takes the bit back (kept.go). DOOMED -> EVICTING by anyone who sees no
// holder, who then owns the entry, frees its room, and makes it FREE. What the owner of a CREATING or EVICTING
// entry did not finish, the node does after its death.
//
// # Why a kill does no harm
//
// Every fact of ownership is one 64-bit word that names its owner. There is no log, no ledger, no shared free
// list. A block is in use if and only if its word has the tag of a live entry in its generation, and an entry
// says where its blocks are to be before they are tagged. An index slot counts only if its entry is live in
// its generation. So what a kill leaves is a word with a dead owner, or a stale one, and putting it right is
// an idempotent CAS. Lists of what is free are private hints, checked by the CAS that takes it.
//
// Five pairs of writes and reads make it hold together, each drawn where it is: waiting and sealing (wait.go),
// releasing a kept bit and freeing (kept.go), taking a further holder bit and freeing (holder.go), claiming a block and closing its slab (slab.go), two
// creators of one ID (settle, in index.go).
//
// Pages are there before anyone claims room: a mark says how far the data has them, and it never falls. What
// is free below it may be a hole, whose pages were given back (trim.go); it is filled before it is free again.
// So a lack of memory is a [FullError] and no signal; nor does it come so far that the kernel kills somebody for pages
// of ours, which are not asked for where the machine or the control group has little memory left (headroom.go).
//
// # Few objects in few lines
//
// What an operation costs are the lines of memory it has to fetch. So the index is two tables: each bucket of the
// large one, which has room for all entries, is looked at only where the bucket of the ID in a table of 128 KiB is
// or was full; one line says whether anybody waits at all; entries come into use by the thousand, and blocks are
// used again last in, first out.
//
// # Concurrency
//
// All methods may be called by all goroutines of all processes, but for those of a Hold, which is for one
// goroutine at a time. An object's bytes and attributes are written
// before it is sealed and are constant afterwards, so whoever got a Hold sees all of it. One goroutine of a
// process runs its doorbell loop:
//
//	last := uint32(0)
//	for running {
//		// drain the rings, then
//		a.Poke()
//		last = a.DoorbellWait(last, time.Second)
//	}
//
// Locks are private to the process and held for short: admission before mu before guard.mu and headroom.mu; wait.mu alone.
//
// # What it does not do
//
// It knows no network and no clock but the one of [Arena.Poke]. It never drops an object by itself and never
// waits for room: who gets a [FullError] decides. It does not zero what it hands out: all processes of a node
// belong to one user. It does not count references in values; a Hold is a process's own business. It does not
// defend against a process that scribbles over the mapping, beyond not reading outside of it.
//
// The design comes from the prototype shm/arena. Changed since: deletion always goes through DOOMED, so that
// further holder words are safe; an entry records where its blocks will be before they are claimed, so that
// reaping needs no sweep over all words; overflow in the index is counted instead of sticky, so that it heals;
// two creators of one ID cannot both lose; empty slabs become granules again.
//
// Rejected: a robust futex lock (equal alone; 5 times slower with 4 processes, one stopped process stops all);
// an allocator in the node (a round trip for each object); a shared free list (a kill in the middle of it
// loses what is behind); a log to replay (must be complete before each step, and is a second truth).
//
// Tried for speed, in ns for a put and delete of 1 KiB beside 1,000 others by one process, medians of 4 runs in turns: as it was
// 128; EVICTING at once where no bit is set, index slot and block emptied by plain stores, no CAS in a Writer 122; and
// a ring of the entries that the process freed itself 117; and IDs by address 114: these are in. Not in: the lists of
// free entries and blocks without their lock, which is the most that lists without a lock could gain, 111; the ID's index line
// fetched before the lock is taken 114. A put with all its lines at hand (10 others) takes 89, so the rest is memory.
//
// Tried for gets, as a prototype that did not free (get and release of one of 1,000, fastest tenth of 27 runs in turns, other work beside;
// as it is 38 ns): one word of the process that announces the entry, taken by a CAS and emptied by a plain store, 32; both by plain stores, 29,
// which is the most that there is to gain and holds for one thread only. Not in: who deletes would need a membarrier in all processes to tell a
// release that is not seen yet, and threads that get at once would share that word, where now each has the entry's; with a word
// for each of them, who deletes has to read them all, and so has whoever counts holds.
package arena
