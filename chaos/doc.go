// Package chaos breaks what runs, on purpose and at random, and checks that nothing is lost.
//
// The nouns: a [Plan] is a line of the table: what is broken and what must hold. A victim is a process that a
// plan starts from this executable and kills. A kill point is a place between two steps of the arena, see
// objstore/arena/kill.go. A seed makes a plan's choices; what else runs on the machine makes the rest.
//
// A plan runs alone and is not called by two goroutines at once. It ends its processes however it ends.
//
// # store-kill
//
// Four victims create, fill, rename, seal, get, evict, delete and wait for objects in one small arena, some of
// them empty, claim CPUs, and give pages back. Two of them have a bit in an entry's main word, two in a further
// holder word. Every other victim is killed at a random moment; the others are told of a kill point, and die there
// by their own hand. After each kill, in this order:
//
//  1. The victim is dead; the node reaps it.
//  2. The others stop creating and deleting; their getters go on waiting.
//  3. Each says that none of its getters waits for an object that is sealed: who died before it woke them has been
//     made good by the reaper. No victim looks twice, so a wake-up that is lost stays lost.
//  4. Each says how many objects it holds, and the arena must say just that, and that all invariants hold,
//     that nothing is half-done, and that every byte of every object is right.
//
// # silent-death and partition
//
// A drill is a plan on a cluster of processes, each in a network namespace of its own (internal/testnet); packets are
// dropped there by the packet filter, so connections neither break nor answer. What a drill measures it holds to a
// mark; it goes on when one is missed, and fails at its end with all of them.
//
// # worker-kill
//
// A driver with KADRE_ISOLATE=1 submits tasks of all kinds, a third of them with references, half of them at most once, while the worker that runs them
// is killed now and then. Each result is right; each at-most-once task, which notes its starts in a file, has started
// at most once, and just once where it gave a result.
//
// # memory-hog
//
// A node in a process of its own, and this process as two drivers: one whose tasks take memory without end in processes of
// their own, one whose tasks and actor go on beside. What all workers of the node take is read from /proc while that lasts.
//
// # stuck
//
// Two nodes in processes of their own, and this process as the driver. Each case plants something that cannot go on and
// waits until a member has the error with the chain, or until the list of waits names what is lacking. The healthy runs
// are made in tasks and actors, 64 at a time, and one in six rests for longer than a wait has to last to be looked at.
package chaos
