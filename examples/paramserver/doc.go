// Command paramserver fits a linear model with a parameter server: an actor that keeps the weights, and tasks
// that compute gradients of their part of the data against weights they read without a copy:
//
//	go run ./examples/paramserver [-rounds 60]
package main
