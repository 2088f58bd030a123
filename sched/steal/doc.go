// Package steal is the protocol by which idle nodes take queued tasks from busy ones: a plain state
// machine, without clock, network, randomness or goroutines of its own. The shell feeds a [Machine] events
// and carries out the actions it gives back.
//
// The nouns: a thief asks with STEAL, a victim answers with GRANT or DENY, and the thief confirms a GRANT
// with ACK. A lifeline is a STEAL that the victim keeps instead of denying it, and answers when it has work.
//
//	thief                                            victim
//	busy -Idle-> probing -STEAL--------------------> taking (the shell picks tasks: Taken)
//	probing <-------------------------------- DENY - denied         nothing that fits
//	probing -2 denials-> quiet -STEAL(life)--------> waiting        nothing that fits, lifeline
//	probing, quiet <------------------------ GRANT - granted        keeps the tasks
//	busy -ACK--------------------------------------> done           Moved: forgets the tasks
//
// A victim keeps what it granted until the ACK, and repeats the GRANT, also when the thief asks again. When
// the thief dies first, it requeues. A thief takes a GRANT in at most once and confirms it each time. For
// each pair there is at most one GRANT under way, its number that of its STEAL, and numbers of one thief
// only grow; so one number for each pair tells a repeated message from a new one.
//
// Every message carries the epoch of its sender and of its receiver. PeerDown fences an epoch for good: its
// messages are ignored. A thief that took a GRANT in and died before the ACK has run tasks that the victim
// requeues, and a victim that died after its GRANT has tasks that their owner submits again: attempts, which
// owners fence, make one of them count. Machines move attempts and know nothing of tasks.
//
// A Machine is used by one goroutine at a time. Events are in the order of Step's calls; a STEAL precedes its
// GRANT on both sides.
//
// Rejected: random stealing alone (83% against 90% of 1,000 nodes' time used, and traffic that never ends);
// probing by load hints (thieves chase each other).
package steal
