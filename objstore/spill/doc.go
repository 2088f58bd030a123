// Package spill keeps objects in files while a node's arena has no room for them.
//
// The nouns: a [Dir] is a node's folder; a record is one object in a file, with the sums of its chunks of
// [Chunk] bytes; a file holds the records that were written together, and goes with the last of them.
//
// A record is a header of fixed size, the CRC32C of each chunk, and the object's bytes. The header has a
// version, and sums of itself and of the chunks' sums, so that nothing read from a file is believed unchecked.
//
// All methods may be called concurrently. Files belong to one start of one node: nothing is read that this
// Dir did not write, and nothing is synced to the disk, since after a crash nobody asks for it. The lock
// Dir.mu is a leaf and is never held while a file is read or written.
//
// It does not choose what to spill and knows no arena. The room of a dropped record in a file of
// several is given back when the whole file goes, or by [Dir.Compact], which its owner calls from time to time: so what
// is dead takes no more room than what lives, or 64 MiB. One part in fifty of the file system, 64 MiB at most, is
// left to others.
//
// Rejected: one file for each object (a million of them); one growing file (needs a compaction); a checksum
// of the whole object alone (a node that reads one chunk for another node could not check it).
package spill
