// Command kadre is Kadre's command line: it runs nodes, looks at them, and shows and measures what the
// runtime does.
//
// The nouns: a command is a file named after it; a usage error is one the caller can mend on the command
// line and exits with 2, any other failure exits with 1. Commands that look at a node ask it over its
// socket (package ask) and print a table for people or, with --json, what the node said.
//
// Each command runs on one goroutine. Interrupts end the command's context; kadre start drains at the
// first and closes at the second.
package main
