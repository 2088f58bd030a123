// Command crawler follows the links of a site in parallel: one task a page, and an actor that knows which pages were
// seen, so that each is read once wherever the tasks run. The site is made up and served by the program itself.
//
//	go run ./examples/crawler [-pages 300]
package main
