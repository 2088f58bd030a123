// Command files counts the lines of all files under a folder in parallel, with progress and with errors that
// do not stop the rest:
//
//	go run ./examples/files [-dir .]
package main
