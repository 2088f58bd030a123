// Package sched runs the tasks of one process.
package sched
