// Package member decides who is in the cluster: a pure state machine over what a node hears.
//
// Nouns: a [Machine] is one node's view; an [Event] is what happened to it; an [Action] is what the shell
// (package p2p) must do; a [Message] goes to a peer's machine. Step takes an event and the time in
// nanoseconds of any clock that does not jump back, and returns actions to be done in order.
//
// This is the thin version, a full mesh: every node keeps a control lane to every member, sends a beat on
// each, and passes its own verdict on silence. Views spread by lists: the whole view to a newcomer, the
// newcomer to everybody, and now and then the view to one peer in turn.
//
//	          learn                offer (a lane)           silence
//	(nothing) -----> Known -----------------------> Alive ---------> Suspect
//	             ^     |  too many failed dials       | ^   heard       |
//	             |     v                              | +---------------+
//	          (forgotten)        silence, refused, a newer epoch        | the same
//	             ^                                    v                 |
//	             |  long ago                        Dead <--------------+
//	             +------------------------------------+      bye: Left instead of Dead
//
// From Dead a node is dialed again now and then, so that halves of a cluster heal, and from Left it comes
// back only under a higher epoch. A lane under an epoch lower than the known one is refused: a zombie gets
// no word in.
//
// One side alone decides which lane counts, the node with the lower ID, within the handshake: no lane is
// used by either side before. What two nodes share from Up to Down is a bond; its name is that of the lane
// that began it. The hellos name each side's bond, 0 after a verdict: where they are equal the new lane goes on
// with it and nothing is lost, else the side that is still up sees a Down first, and both begin anew. So both
// sides see the same Downs even when only one of them noticed. A side whose bond is another than its own hello
// said refuses the lane. (A hello from before the first Up that is still under way when that lane breaks can
// cost the new bond; both sides are told.)
//
// A Machine belongs to one goroutine at a time, or its owner's lock. It imports no clock, no network and no
// randomness, so that a simulator can replay it.
//
// Rejected: gossip of death verdicts (needs suspicion and refutation: that is SWIM, which can replace this
// machine); counting verdicts in place of naming bonds (a verdict that answers a verdict is counted too, so
// the counts never agree again); one timer per peer (a tick over a sorted list is simpler and replays).
package member
