// Package objstore moves objects between the arenas of nodes: it pulls copies, serves them, keeps records of
// them in the directory, and moves objects out of an arena that is full.
//
// The nouns: a [Store] is the node's side; a pull brings one object here, in chunks of [ChunkSize] bytes; a
// holder is a node with a copy; a record tells anybody, also after the owner is gone, which nodes have one.
// Whose object it is and when it is freed decides package objstore/owner in the owner's process; where its
// bytes lie here decides package objstore/arena.
//
// # A pull
//
//  1. A sealed copy of this attempt or a later one here: done. One of an earlier attempt is deleted.
//  2. Pulls of the same object and attempt are one; it goes on while anybody waits for it.
//  3. Room in the arena under the object's ID. Who else creates it is waited for.
//  4. Chunks from the holders in turn, a few at once, straight into the arena, each with a CRC32C
//     unless it is of this machine. A holder
//     that fails, or sends what does not match its sum, is not asked again in this pull.
//  5. The content hash of the whole (xxhash64), where the owner knows it.
//  6. Seal, tell the owner, publish a record. After any failure the room is given back: wrong bytes are
//     never sealed.
//
// # A full arena
//
// Room first has the processes look for references that they forgot. Then objects that nobody holds go, least
// recently used first by the arena's word of the last use: a copy that was pulled is deleted once its owner
// has agreed, which it does when it knows another; everything else is spilled into files (package
// objstore/spill). This begins before anybody waits, when 90% of the arena are in use, and ends at 75%.
//
// Order matters. A record of the spilled object is there before the arena's entry goes, and stays until the object
// is deleted, so that an object is always found in one of them, and one that was read back goes again without
// being written: a working set that is only read is written once. Who deletes an object
// deletes it in the arena and then in the files; who moved it looks again and undoes what came too late.
//
// A spilled object counts as a copy of its node like any other. A pull brings it back; another node's pull is
// served from the file, without a byte of the arena. A file that cannot be read is a lost copy: the owner is
// told, and the object comes from another node or is made again. A disk that cannot be written leaves the
// objects in the arena, and after a pause it is tried again. One that is full first loses the files of objects that
// are in memory again. So the disk has to hold what is in no memory, and up to the size of the arena and of what lives in
// shared files, or 64 MiB, beside it.
//
// # Records
//
// The key is the hash of the owner's address, so that all objects of an owner are found in one place. Records
// are written and deleted in the background, the last word on an object counts, and they are refreshed before
// they expire. They are hints: a reader that finds a dead holder goes to the next one.
//
// All methods may be called concurrently. The order seen: after Pull returned nil, arena.Get finds the object
// unless it was freed; Copied was called before Pull returned. After FreeJob no pull of that job that had
// started seals anything.
//
// It does not choose what to pull, does not retry a pull, and knows nothing of who refers to what.
//
// Locks: Store.making (a channel) before Store.mu before records.mu; sealing, restoring and freeing happen under
// Store.mu, writing and reading files does not.
//
// Rejected: one request for the whole object (no second holder in the middle, no check before the end); plain
// provider records (see package p2p/directory).
package objstore
