package wire

// Kind says what a frame's body is.
type Kind uint8

// The kinds of frames: who sends them to whom, the body, and the body of the reply where there is one.
const (
	KRun     Kind = iota + 1 // node or process -> process: a Spec to run
	KResult                  // executor -> owner: Result; replied to (empty) once the owner has registered the refs inside
	KMoved                   // whoever passed tasks on -> owner: Moved
	KTake                    // node -> process: Take; reply Batch of specs that the process no longer runs
	KRequeue                 // node -> process: Batch of specs that come back, to run where they came from
	KObject                  // process -> owner: IDs of one object; reply ObjectInfo once it is ready, failed or lost
	KBorrow                  // process -> owner: IDs the sender now refers to; reply empty
	KRelease                 // process -> owner: IDs the sender no longer refers to
	KCopied                  // node -> owner: Copied, a node has another copy
	KPull                    // process -> node: ObjectInfo; reply empty once the object lies in the node's arena
	KFree                    // process -> node, node -> node: Free
	KPlace                   // process -> node, node -> node: Spec; reply Placed
	KLocate                  // process -> node: ObjectInfo with ID and Owner; reply ObjectInfo with Holders
	KPublish                 // process -> node: IDs that lie in the node's arena and that other nodes refer to
	KJob                     // node -> node: JobQuery; reply Job
	KJobEnd                  // node -> every node and process: JobQuery
	KDead                    // node -> every node and process: Dead
	KCollect                 // node -> process: run a garbage collection; reply empty
	KNodes                   // process -> node: empty; reply Nodes
	KLink                    // process -> node: LinkQuery; the ring pair comes by the socket; reply empty
	KKill                    // process or node -> process of an actor: Kill; replied to (empty) once its name is free again
	KLog                     // node -> driver's node -> driver: LogLine
	KSteal                   // node -> node: a message of package sched/steal
	KStatus                  // process or node -> node: StatusQuery; reply JSON
	KDrain                   // process -> node, node -> process: take no new work
	KDone                    // process -> node: Done, placed tasks and actors that have ended
	KDrop                    // node -> owner: Copied, may the node delete its copy; reply IDs: its own when the copy no longer counts, none when it stays
	KDropped                 // node -> owner: Copied, the node has this copy no more
	KRoom                    // process -> node: Room; reply empty once it is worth trying again
	KHave                    // process -> owner: Copied, is the value still this attempt's; reply IDs: its own when it is, else none
	KDelete                  // process -> owner: IDs to be deleted; reply empty
	KCancel                  // owner -> process that runs or has queued the tasks, or node that places them: Cancel
	KItem                    // executor -> owner of a stream: Item; replied to (empty) once it has been read, refused when nobody reads any more
	KWorker                  // process -> node: empty; reply Placed: the job's worker process of this node, once it runs
	KWaits                   // process -> node: some of its tasks have waited for long
	KBreak                   // node -> process: Break
	KNames                   // node -> node: a message of package actor/registrar
	KName                    // process -> node: NameQuery; reply Named, zero where nobody has the name
	KGroup                   // process -> node, node -> node: Group; what it is replied with stands at its ops
	KRefer                   // node -> every node and process: Refer, who refers to objects whose owners are gone; reply Referred
	KResults                 // executor -> owner: Results, of which none has references inside; replied to (empty)
	KNote                    // node -> driver's node -> driver: LogLine, what its user should know
	kindEnd
)

var kindNames = [...]string{KRun: "run", KResult: "result", KMoved: "moved", KTake: "take", KRequeue: "requeue",
	KObject: "object", KBorrow: "borrow", KRelease: "release", KCopied: "copied", KPull: "pull", KFree: "free",
	KPlace: "place", KLocate: "locate", KPublish: "publish", KJob: "job", KJobEnd: "job-end", KDead: "dead",
	KCollect: "collect", KNodes: "nodes", KLink: "link", KKill: "kill", KLog: "log", KSteal: "steal",
	KStatus: "status", KDrain: "drain", KDone: "done", KDrop: "drop", KDropped: "dropped", KRoom: "room",
	KHave: "have", KDelete: "delete", KCancel: "cancel", KItem: "item", KWorker: "worker",
	KWaits: "waits", KBreak: "break", KNames: "names", KName: "name", KGroup: "group", KRefer: "refer", KResults: "results", KNote: "note"}

func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}
