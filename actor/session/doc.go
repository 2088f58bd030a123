// Package session carries the calls of one caller to one actor: in order, each at most once per incarnation,
// over a network that loses, doubles and reorders messages.
//
// The nouns: a [Caller] is one process's side of its calls on one actor; a [Callee] is the actor's side of one
// caller's session; an [Event] is what the shell learned, an [Action] what it has to do. An incarnation is one
// life of the actor.
//
// # How it works
//
// The caller numbers its calls from 1 and sends them in that order once it knows where the actor is, at most
// [Window] ahead of the oldest call without an outcome; the others wait. A sequence number is never used
// twice, also not for another incarnation. Every call carries Acked: all calls up to it have their outcome.
//
// The callee runs the calls in order without gaps; early ones wait. It keeps each result until it hears that
// it arrived (Acked, or Taken for one result), and answers a call that comes again from there. A callee that
// is new to a session (a new incarnation) starts after the first Acked it hears: calls before it have had
// their outcome.
//
// When the actor dies, calls that were sent fail and may have run; calls that were not sent fail and have
// not. When it comes back as another incarnation, the sent ones fail in the same way and the others go there.
//
// What bounds a session: the caller keeps at most its MaxPending calls, the callee at most Window calls and
// results. Every call has exactly one outcome: one Done or one Fail.
//
// Messages may be lost when a connection is made anew; then, and from time to time while answers are missing,
// the shell gives Resend. A call that is still running is not disturbed by it.
//
// The package is pure: no clock, no network, no locks. A machine is for one goroutine at a time. Payloads and
// results pass through the callee as they are and are never looked at; the caller's stay with its shell, by
// sequence number, until the outcome. The package does not cancel calls: a hole in the sequence would stop
// the calls behind it, so a cancelled call still travels and its outcome is ignored.
//
// Rejected: running calls out of order with a set of those seen (a caller's order is promised); time-outs
// inside the machine (only the shell knows whether a connection broke).
package session
