// Package wire holds what processes and nodes say to each other: frames, messages, the task
// specification, and the small machinery that carries them between processes of one machine.
//
// The nouns: a [Frame] is an envelope with version, kind, epoch, time left, sender, receiver and request
// number; a message is the body of one kind of frame; a [Spec] is a task on its way; a [Link] is one
// process's end of a ring pair to another process; a [Calls] matches replies with requests. A short frame
// (short.go) has no envelope: it is a task of a driver for its worker, or what became of it.
//
// Frames from one sender to one receiver keep their order on a link and on a lane. Link.Send and Calls
// may be used by any goroutine; a link is drained by who has its baton (baton.go): the process's poll goroutine, or
// one that waits for a frame. A poll goroutine that shares the CPU of the process whose frames it waits for, while another
// CPU is idle, moves its thread there (aside.go). Bodies that
// every task pays for (Spec, Result) have an encoding of their own; all others are CBOR arrays with
// limits. Nothing here knows what a message means.
//
// Every decoder checks its limits before it allocates and takes nothing for granted: the other side of a
// ring or lane may be a process that was killed in mid-write or a peer of another version.
//
// Lock order: the baton of a link, then its mu; Calls.mu is a leaf.
package wire
