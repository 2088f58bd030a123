// Package registrar keeps who has which name, so that no two living actors of a cluster ever have the same one, whatever
// becomes of nodes and of the network between them. It is a plain state machine.
//
// Nouns: a register holds one value, under a key: for a name its [Holder], for a lease how often it was renewed and whether
// it is over. A registrar is a [Member] that keeps a copy of every register; a [Config] says who they are. A [Machine] is one
// node's part: it proposes changes, is a registrar if the configuration says so, and holds names for its actors. A [Member]
// is one start of a node: a node that starts anew has forgotten what it had promised, and so it is another member.
//
//	     proposer                     a majority of the registrars
//	claim, find ... --PREPARE--------> promises to take nothing older, and tells what it has
//	what the newest becomes --ACCEPT-> takes it, unless it has promised otherwise since
//
// This is CASPaxos (Rystsov, 2018): a round of Paxos over a function of the value, without a leader or a log. What a majority
// tells in one voice needs no second step, so finding a name takes one round trip.
//
// # Leases
//
// A member holds names under a [Lease], a register that it counts up every renewEvery. A renewal lasts leaseTime from its
// beginning; a member whose lease has run out ends its actors at once, and begins another term. Whoever wants a name of a member
// that is down watches that member's lease: if the count stands still for leaseTime and drift, it writes that the lease is over,
// unless it was renewed since, which is one compare and set. From then on its names are free. Clocks need not agree, but run alike.
//
// # Configurations
//
//	found -> 1 registrar --three nodes--> 3 --five--> 5     fewer nodes: 1 again; those that died are replaced
//
//	sealing    a majority takes no more proposals and tells all that it has accepted
//	deciding   that majority accepts one successor: its members and what they begin with (Paxos, once for each configuration)
//	beginning  its members start with that; once a majority has, it counts, and the one before is forgotten
//
// Any registrar may do this, and finish what another one began. So each configuration has one successor, and no proposal is
// chosen in the old one after the seal. A member starts in each configuration once (Machine.top): it never forgets a promise.
// Empty registers are left out of what a successor begins with: that is how they are swept out.
//
// Every node founds a line of configurations when it starts. Where two meet, that of the lower genesis (the older member)
// counts, and actors of the other line claim their names in it: one whose name is taken ends. Where most registrars
// of a configuration, or of the one decided to follow it, have started anew, nobody can know any more what they knew: a new era begins, in which names are given to new
// holders only after a lease's time, so that those who had them come first.
//
// A Machine is used by one goroutine at a time. Messages may be lost, repeated and reordered; those of earlier starts of a node
// are its shell's to drop. The simulator (package sim, names_test.go) cuts, crashes, pauses and restarts machines.
//
// Rejected: the closest nodes to a name as its registrars (both sides of a partition find their own); changing the
// members of each register's quorum one at a time (every register has to be written again before each step; with a seal what is
// decided is all of them at once); one register for all names (each claim would send them all); acceptors on disk (a name
// would cost an fsync on each registrar, and a lost disk the same rules as here); leases in the registers of
// names (as many renewals as names).
package registrar
