// Command search tries settings of a small model in parallel and shows the best one as soon as it is known;
// it stops early once one is good enough. The data are put once and read by all trials without a copy:
//
//	go run ./examples/search [-good 0.02]
package main
