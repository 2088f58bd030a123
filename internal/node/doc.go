// Package node is what only the node does: it owns the arena and the network, lets processes attach, carries
// their frames, starts and ends workers, places what does not stay in its process, and lets other nodes steal.
// It has no user functions, and data never passes through it between two processes of the machine.
//
// The nouns. A [Node] is one running node. A process is a driver or worker that attached, with a link, a slot
// in the arena and a socket that stays open for its life. A job is one driver's run, here or elsewhere; a
// worker is a process that this node started for a job. An errand is a task or actor on its way to a process
// of this node, with the amounts that it holds of a pool (the node's resources, or those of a placement group's bundle) until it has ended.
//
// The user's runtime folder ($XDG_RUNTIME_DIR/kadre, else /run/user/<uid>/kadre where that is there, else
// /tmp/kadre-<uid>) has a folder for each cluster, in which a node keeps <short>.lock (locked while it
// lives), <short>.json (its record) and <short>.sock. Whoever looks into it sweeps what dead nodes left: the
// kernel drops the lock with its holder.
//
// What does not fit into the arena lies in files in a folder of the node's own, <state>/spill or kadre-<short>
// in the folder that the user gave; its record names it, so that it goes with a node that was killed.
//
// Concurrency. All methods of Node may be called by any goroutine. Frames of one sender are handled in order:
// those of attached processes on the poll goroutine, those of other nodes on the reader of their lane.
// Handlers do not block; what takes time has a goroutine of its own, counted by Node.wg.
//
// How a worker's life goes; every arrow is a change under Node.mu:
//
//	starting -> attached -> dead     the ordinary way
//	starting -> dead                 it did not come up within workerStart
//
// A placement group is one errand that holds the sum of its bundles, each of which is a pool for what runs in it. Its node alone knows
// all of that, also where no reference is left, so it ends it when the group goes; who made the group fails what it waits for.
// What fits no node but one that is not reached just now waits until that is, or is known to be gone (unreached.go).
//
// It does not retry tasks, own objects or know what a task does: owners do.
//
// Lock order: stealer.mu, Node.mu, then those of links, lanes, arena and calls. No lock is held while a link
// is closed or a process waited for.
//
// Rejected: a thread for each worker's Pdeathsig (one locked thread starts all); process groups alone (a
// worker's children would outlive a killed node); reserving CPUs for placed tasks until they end (one that waits for another
// on the same node would never end: while CPU words in the arena are free for 10 ms,
// what tasks hold and have given back of them is promised once more); promising what any task holds (one that runs has it);
// taking what is cancelled out of its queue at once (so many cancelled of so many took the square of that: it is passed over);
// ending a group's actors by their owner (the news of where one runs may come after its outcome: then it lived on); refusing
// what fits an unreached node alone (its owner's retries were used up within a millisecond);
// one queue for what waits (each end of a task looked at all of it: now at the first of each shape); a
// control group for the memory of workers (the pages of the arena are charged to the group of the process that touches them
// first, and stay with it: where one of two groups wrote 64 MiB of shared memory and the other one read them, the first had 64
// MiB and the second none, also when the first one's process had ended; one with a limit of 32 MiB that put an object of 64
// MiB was killed, though none of that was its own. A limit would have to have room for the whole store, and would then let a
// task take that much more: the limit on what a process maps (RLIMIT_DATA) counts what is its own and nothing else. Version 2
// of control groups charges alike, and its memory controller is seldom delegated).
package node
