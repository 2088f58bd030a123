// Package owner decides about the objects that one process owns: who may seal them, where their copies are,
// when their data is deleted, and when a lost one is made again.
//
// The nouns: a [Table] has a record for each object; an [Event] is what its shell learned; an [Action] is
// what the shell has to do then. The owner of an object is the process that submitted its task or put it.
//
// # A record's states
//
//	Pending -> Ready    the first seal of the current attempt
//	Pending -> Freed    the same, and nobody refers to the data any more
//	Pending -> Failed   the task of the current attempt failed for good
//	Ready   -> Freed    nobody refers to the data, but objects made from it may have to be made again
//	Ready   -> Pending  made again: its last copy is gone and somebody wants it
//	Ready   -> Lost     the same, but it cannot be made again
//	Freed   -> Pending  made again: an object made from it is, or somebody wants it
//	Freed   -> Lost     the same, but it cannot be made again
//	Freed   -> Ready    it came again, with the result that is made with it
//	Pending -> Lost     that result came, and it did not
//
// A Ready object may have no copy left: that is found out when somebody wants it, because until then a copy
// on its way may still be reported. From every state but Pending a record is forgotten once nothing counts on it.
//
// # What counts on an object
//
// Its data is kept while this process holds it (Hold), while another process borrows it (Borrow), or while a
// pending object of this table takes it as an argument. Its record alone is kept while a stored object made
// from it could be made again: the lineage. Values that travel inside messages are never lost, need no
// lineage, and live as long as their record. Lineage is bounded: beyond 256 MiB of specifications the oldest are given up
// (GiveUp), and their results are lost with their last copies.
//
// References found inside a value (Contains) are held by the shell: it takes a hold on each before it reports
// the seal, and the table says with ReleaseContained when to give it back, also when the seal was refused.
//
// # Further objects
//
// A task may make objects beside its result: what it puts, and what it fills in place. Those that its result refers to
// come with it (Further) and are this table's from then on; the result holds them as it does what its value contains.
// Such an object has no attempts of its own: it is made again with the result, which is restarted for it even where its
// own value is still there, and the next attempt's replaces it. Where that attempt does not make it, or one of another
// size, it is lost: whoever has a reference means the old one.
//
// # Attempts
//
// Attempts count from 0. Retry and Remake fence all earlier ones: exactly one attempt may seal at any time,
// and it may once. A late or second seal is refused and its copy deleted. The same answer coming twice from
// the same place is neither accepted again nor refused.
//
// The package is pure: no clock, no network, no locks, no randomness; the same events give the same actions
// in the same order. A Table is for one goroutine at a time; the shell guards it with its own lock and acts
// after Step returned. It does not carry values or errors, does not submit tasks, and does not know what nodes
// are alive beyond AddrDead.
//
// Rejected: counting borrows per reference (a lost message would leak for ever; a set per process is mended
// by the process's death); remaking as soon as the last copy is gone (most such objects are never read again).
package owner
