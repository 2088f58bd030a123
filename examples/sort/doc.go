// Command sort sorts numbers that no single task ever holds: each mapper cuts its part into ranges, and each
// reducer merges one range of all mappers. What a mapper returns holds references, so that a reducer fetches its
// range alone:
//
//	go run ./examples/sort [-n 2000000] [-parts 8]
package main
