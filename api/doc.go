// Package api is Kadre as programs see it: remote functions, references to their results, objects in shared
// memory and actors, on this machine or on many that have no head.
//
//	func square(ctx context.Context, x int) (int, error) { return x * x, nil }
//
//	var Square = api.Func1(square) // registered under its symbol, before Init
//
//	func main() {
//		ctx := context.Background()
//		rt, err := api.Init(ctx) // attaches to a node, or starts one in this process
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer rt.Close()
//		ref := Square.Remote(ctx, 7) // at once
//		v, err := ref.Get(ctx)       // 49
//	}
//
// The nouns: a [Runtime] is this process's attachment to a node; a remote function ([RemoteFunc1]) makes
// tasks; a [Ref] names the result of a task or an object given to [Put]; an [Actor] is a value that lives
// somewhere and whose methods ([RemoteMethod1]) are called one at a time; an [Array] is numbers in shared
// memory that are passed on without a copy.
//
// Contexts come first in every call. The one given to Remote bounds the task, the one given to Get bounds
// only the waiting. What went wrong with a call comes out of Get. Values are copied, or read-only: a
// receiver never shares memory that somebody can write.
//
// Everything may be called by many goroutines, except that registering (Func, Class, Method, Stream,
// RegisterType and the like) belongs to the program's start and panics after Init. Calls of one goroutine
// on one actor run in the order of the calls; nothing else is ordered.
//
// What this release does not do yet says so: see the table in later.go.
//
// The package is types, generics, options and errors. It starts no goroutines and does no I/O; that is
// internal/proc's and internal/node's. Locks: an Array's own, and the list of open runtimes; no user code
// and no call of lower packages that waits for users runs under them.
//
// Rejected: code generation (the compiler checks calls as they are); arguments as ...any (it would not);
// a Get without a context (a wait that cannot end).
package api
