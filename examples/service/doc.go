// Command service is an HTTP server with a node inside: it runs each request's work as tasks, joins a cluster if
// KADRE_JOIN and KADRE_TOKEN_FILE say so, and on SIGTERM finishes what it has begun:
//
//	go run ./examples/service [-listen 127.0.0.1:8080]
//	curl '127.0.0.1:8080/primes?below=3000000'
package main
