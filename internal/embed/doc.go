// Package embed joins a process with its node: it finds the node to attach to, or starts one inside this
// process.
//
// The nouns: [Options] are what the program asked for; a [Conn] is a connection to a node, and the node itself
// where it was started here; a [Session] is a driver attached over one.
//
// [Open] decides once and never falls back: a socket that was named or a living node that was found and
// cannot be attached is an error. An embedded node is the same code as `kadre start`, reached over a pair of
// sockets; it is private unless it is told of a cluster. Everything here may be called by any goroutine.
// There are no locks.
package embed
