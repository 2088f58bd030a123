// Package sched runs the tasks of one process on its CPU slots.
//
// The nouns: a [Task] is a header that package api embeds first in the struct that holds result and
// argument; it is task, future and context.Context in one. A [Func] is what all tasks of one function
// share; the engine knows neither arguments nor results. An [Engine] has executors, goroutines with a
// queue each, and CPU slots, of which a task needs one, several (wide) or none (free). A [Root] is a
// context that no task made: it bounds what is submitted under it, and all that this submits.
//
// Any goroutine may call any method. Only one caller may store a task's result: who was called through
// Func.Run, who owns an external task, or who won Settle; Finish publishes it to all who see the task
// ready. First of Finish and Fail wins, and only it returns true.
//
// The states of a task:
//
//	         Submit       claim        Finish
//	zero --------> New --------> Run --------> Done
//	  |  \          ^ |           |      Fail
//	  |   Deps      | Take        |-----------> Failed, from every state before
//	  |    \     Return, |        | Run returned without either
//	  |     v  deps done v        v
//	  |    Hung ----'  External <-'  --Settle--> Settling --> Done, Failed
//	  '-InitExternal------^
//
// The claim, one CAS from New to Run, is the only arbiter of who runs a task. Entries of queues are hints
// and may be stale. Beside the state, one bit says that the task's slots are given back because one of its
// goroutines waits; who clears it takes them again.
//
// # Submitting and parking
//
// One task alone is left to its getter, or to the watcher: waking an executor costs more than most tasks.
//
//	a submitter (enqueue, pushed)           an executor (rest, watch)
//	S1 push, under the queue's lock         E1 leave searching
//	S2 read idle, searching, watching       E2 enter idleQ, and be the watcher if there is none
//	S3 wake one of idleQ: nobody searches,  E3 the watcher: look at all queues each 50 us, for 10 ms;
//	   and the queue holds more than this      take what is still the oldest at the second look
//	   task, or nobody watches              E4 the watcher: leave watching
//	                                        E5 look into every queue, under its lock   <- the safe step
//	                                        E6 sleep until woken
//
// A queue is left alone for some 1.5 us while it is short: who submits one task after the other would meet a thief at
// the lock for each. TestEveryInterleaving goes through the steps in all orders.
//
// A queue's lock orders S1 and E5. If E5 comes later, the executor sees the task. If S1 comes later, S2 sees
// the executor in idleQ, and the watcher's place empty (E4), and wakes it; or sees another that watches,
// which has its own E3 and E5 before it. If S2 sees somebody search, that one has E1 to E5 before it, after
// S1. The last searcher that finds work sends another (found), so that one wake-up grows into as many as
// there is work for.
//
// A task that blocks gives its slot back and leaves the search to who searches already; else it wakes or makes a
// searcher (give, replace). Where it waits for a task that nobody has started, its slot goes to an executor that begins with that
// one (hand), so that a tree of tasks that getters may not run is gone through depth first. So who finds work as the last searcher looks after slots that fell free meanwhile: where
// nobody is idle it makes one (found). B1 running falls, B2 read searching; R1 leave searching, R2 read running.
//
// A waiter and a finisher:
//
//	attach                                  Finish
//	A1 store the node in the task's list    F1 state to Done
//	A2 read the state; done: take the node  F2 read the list; not empty: take it off under the lock,
//	   off again and wake it                   wake all
//
// Both are in one order for everybody, so that A2 sees F1, or F2 sees A1. A waiter for slots and release
// do the same with the count of waiters and that of slots in use; putBack and letGo with spare words and hold.
//
// # Ranges
//
// A span is a task that stands for a range of others, so that a Map of a million is one entry of a queue. Who claims it
// halves it, pushing the upper halves, until what is left takes some 50 us by the function's learned run time, and
// claims these one by one. Before that it is Done, so that each task is in one span that is not. A span that fails
// before it is run fails those of its tasks that nobody has claimed. Take gives another process at most half.
//
// # The bound of unfinished work
//
// Submitters wait while too many tasks are queued, or wait for what they need (Limit, Place). What a submission pays is a look
// at one word that nobody writes; all queues are counted only when one of them has so many that they may hold the bound together. A task
// that waits gives its slot back, so that a tree of tasks each of which starts more than the bound goes on.
// What puts tasks back into a queue (halves of a span, what another process did not take) does not wait.
//
// # Broods
//
// What a task starts under its own context is not bounded by that context, which ends with the task, but by the Root
// that the task itself hangs on. Unless most runs of the task's function are short, a Root between the two, its brood,
// stands for what it starts: CancelStarted ends that, and the broods of those tasks. A brood knows the next one above
// whose task still runs; nothing keeps a task that has returned. Who runs a short function pays a comparison. (By the
// slow-leaning figure instead of the median, 1 in 5 of the tasks of a fib(27) got one, which made it 3 times as slow.)
//
// # Priorities and shares
//
// Tasks with a priority of their own are in one heap instead of the deques (ranked.go). Its key is a level for each second
// less the time of queueing, so that the order never changes while tasks age. Executors look at it before they search
// and, while it holds something, between any two tasks; press, which they read there in any case, says so. Ordinary
// tasks bear no time: the length of the queues, looked at with each decision, tells when about the oldest of them
// came (arrivals), and it is compared like the others. Getters outside of tasks take no slot while something is in the
// heap; those inside of tasks hold theirs already and run what they wait for.
//
// Tasks of less than a CPU run on goroutines of their own and have shares of common slots (shares.go), which are taken
// and given back like those of a wide task. Who lacks a share waits for one more slot before all others.
//
// # What few tasks need
//
// The header is 32 bytes: one pointer to function and root (kin), which in a block of Map only the first task has, shape, state, and a pointer to an Ext, which is made when the first waiter,
// error or context of its own comes, and stays. Its lock guards the list. The layer above embeds it in what it keeps
// itself for such tasks (Func.NewExt, Task.Extend).
//
// # A standstill
//
// A queue may be long and healthy. Where none of it has begun for half a minute, the layer above is told, and again each time that it has
// lasted twice as long (standstill.go): at each look of the monitor no queue is shorter than before and what executors run is
// the same. That is so where other processes have the CPUs, since otherwise the monitor has added slots by then.
//
// # Getters
//
// A getter may run a task inline that nobody has started: where the task takes as many slots as the getter
// holds, at most 64 deep, if its function never called Goexit; and where the getter's context may end before
// the task's, only if the function is known to run below 50 us and 1% of what is left. WaitN never does.
//
// # What it does not do
//
// It encodes nothing, retries nothing, places nothing, and knows no other process: Take and Return hand
// queued tasks to who does. It cannot stop a running function: a cancelled task that runs on for Grace
// is failed, and its goroutine abandoned and counted.
//
// # Lock order
//
// A task's Ext.mu, then Engine.mu; Limit.mu, then Engine.mu; Root.mu, broods.mu, aside.mu, ranked.mu, shares.mu, slots.mu and the queues' locks are leaves.
// Callbacks (OnDone, a scope's cancel on Finish) run under none of them, Take's fits under a queue's.
//
// # Rejected
//
// Parents in the header: a chain in which each task submits the next would stay reachable from its end, and
// children outlive their parent's return anyway; the Root is what they share. Failing queued tasks by one
// context.AfterFunc each: one a Root costs the submitter nothing. Letting waiters for a slot in between any two
// tasks: each task then rotates the slots; only under pressure (wide tasks, CPU words wanted). Inline runs
// of narrower tasks by a wide getter: who parks deeper on its stack would give back less than the stack holds.
//
// Ways to see a lone task sooner while its submitter computes on, by how many of 1,000 wakes came after more than 1 ms on two
// virtual CPUs, where a bare futex wake had 37 to 52, and a napping thread with a P and a CPU of its own 10. The watcher's thread
// locked to it: 56 to 85, since who finds no P after its nap waits for two threads to be woken; not locked, as it is, 18 to 76. A slice of 100 us for
// its thread (sched_setattr): 52 to 78, no better. Two of them, each bound to a CPU: 51, and twice the naps. A nap that keeps its P: 25,
// but other goroutines wait meanwhile; with a Gosched after each nap 215 to 371, since the submitter then wakes on the
// watcher's P and the watcher needs another.
//
// Priorities in the deques themselves: one deque for each level and executor makes a thief look at all of them, and a time in
// each entry doubles it. Counting ordinary tasks as they start: a shared word for each. Gaining as a class, one level
// for each second since one of them started: a backlog then goes one by one.
//
// Ranges whose tasks a loop of the typed layer runs, with one guard for all of a piece instead of exec for each: a Map of a million took
// 93 to 144 ms of CPU time before and 101 to 117 after, so what exec does is not what they pay for.
//
// A note of each task of a range that an executor runs, for the monitor: an exchange and a write barrier. With a look at the context
// and a call through a closure for each it was a seventh of a task of a Map. A note of each task that a getter runs, for
// chains of waits: two locks. The claim's 16 bits of the getter's address cost nothing, and the task that has that address
// is looked for among few.
package sched
