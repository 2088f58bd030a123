// Package ask puts questions to a running node over its socket, for the commands that only look.
//
// The nouns: a socket is the path where a node listens; a view is what it is asked for ("status",
// "events", "nodes", "memory", "objects", "fsck", "all tasks" and so on), answered in JSON. A question opens a connection, gets one answer and
// closes it; it attaches no process and costs the node nothing afterwards.
//
// All functions may be called by many goroutines; there is no state and no lock.
package ask
