// Package directory keeps small records on the nodes closest to their keys, so that they outlive their writer.
//
// Nouns: a [Record] is an opaque value under (key, shard, sub, writer); the holders of a key are the Copies
// nodes that the network's lookup finds closest to it; a [Store] is what one node holds for others; a
// [Directory] is the store and the client together, over a [Net].
//
// Puts gather for a few milliseconds, longer where flush follows flush, and go as one request per holder. The writer keeps what it wrote and
// writes it again to nodes that become holders, until it expires or is deleted; so records move as nodes
// come and go, and a holder never writes in another's name. Who reads a key asks all holders at once and takes the
// latest of each writer; who looks for one object asks one holder, the same as long as it answers soon, and the rest only where
// that one has nothing, fails or is slow: a record is a hint, and one copy of it will do. A holder takes the writer's name from the connection: nobody else overwrites or
// deletes. Of two writes of one writer the later counts (epoch, then sequence), also after a delete, which
// leaves a tombstone. A delete that a node does not confirm is owed to it and sent again until it does or its copy
// has expired: also to nodes that were holders once, were cut off, or come back.
//
// Everything is safe for concurrent use. A Put that returned nil is on one holder at least, and on all that
// answered. There is no compare-and-swap and no order between writers: correctness must not rest on records.
//
// Locks: Directory.mu and Store.mu are leaves; of the network only Closer, which computes, is called under them.
//
// Rejected: kad-dht's provider records (4 to 29 ms of CPU and up to 55 messages each, no delete) and its
// PutValue (no compare-and-swap, nil even when nobody stored it); holders from the membership view (two
// nodes with different views would read and write in different places); asking all holders for one object (2.4
// control round trips on a busy machine, where one takes 1.6); asking them in turn (each has rested when its turn comes).
package directory
