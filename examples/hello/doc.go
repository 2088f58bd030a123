// Command hello is the program of the README: it squares ten numbers, wherever there is a CPU.
package main
