package arena

import (
	"fmt"
	"time"
)

// killPoint is a place between two steps at which a process may die or be overtaken. One test ends real
// processes at each of them, another one lets several clients take turns there in every order.
type killPoint int

const (
	killClaimed  killPoint = iota // entry CREATING, nothing else written
	killNamed                     // its ID is written
	killIndexed                   // its index slot is filled
	killMarked                    // a later creator of the same ID is marked as the loser
	killSettled                   // it is the only one of its ID
	killIntent                    // size and place are written, nothing claimed there
	killBlock                     // a block is claimed and not yet checked
	killMidRun                    // half of a run of granules is claimed
	killCreated                   // room found
	killSealing                   // about to seal
	killFarSeal                   // the creator's further holder bit is set, the entry still CREATING
	killSealed                    // SEALED, nobody woken
	killFound                     // an object is found, nothing taken
	killNearLook                  // it is seen SEALED, the client's kept word not yet read
	killKeeping                   // the client's kept word is busy, its holder bit not yet set
	killFarLook                   // it is seen SEALED, the further holder bit not yet set
	killHeld                      // holder bit taken
	killFarHeld                   // further holder bit set, main word not yet read again
	killFarDrop                   // further holder bit cleared, main word not yet read
	killReleased                  // the last hold is released, main word not yet read
	killDoomed                    // DOOMED, index slot still there
	killUnlinked                  // index slot gone
	killRevoked                   // the kept words of a DOOMED entry are clear, its holder bits still there
	killDropped                   // the last holder bit of a DOOMED entry is gone
	killEvicting                  // EVICTING
	killMidFree                   // half of a run of granules is free
	killFreed                     // all words free, entry still EVICTING or CREATING
	killEmpty                     // a slab is seen empty, not yet being closed
	killClosing                   // a slab is being closed
	killPunching                  // granules are being given back
	killRefilled                  // they have pages again, and are holes still
	killWaiting                   // wait bit set
	killCPU                       // CPU word claimed
	killPoints
)

func (a *Arena) at(p killPoint) {
	if a.hook != nil {
		a.hook(p)
	}
}

const (
	// KillPoints is how many kill points there are.
	KillPoints = int(killPoints)
	// BeforeWake is the one between a seal and the wake-up of who waits for it.
	BeforeWake = int(killSealed)
	// RivalMarked is the one at which a creator has told another one of the same ID that it lost.
	RivalMarked = int(killMarked)
)

// Provoke is for tests that kill processes: f is called at each kill point, with its number, by the goroutine
// that is there. Nothing is looked at twice any more, so that a wake-up that is lost stays lost. It is called
// before anything else.
func (a *Arena) Provoke(f func(point int)) {
	a.hook = func(p killPoint) { f(int(p)) }
	a.recheck = time.Hour
}

// Ident tells an object from a later one of the same name, while it is held.
func (h *Hold) Ident() uint64 { return tag(h.e, genOf(h.a.entries[h.e].main.Load())) }

var pointNames = [killPoints]string{
	killClaimed: "claimed", killNamed: "named", killIndexed: "indexed", killMarked: "rival-marked", killSettled: "settled",
	killIntent: "intent", killBlock: "block", killMidRun: "half-run", killCreated: "created", killSealing: "sealing",
	killFarSeal: "far-seal", killSealed: "sealed-before-wake", killFound: "found", killNearLook: "near-look", killKeeping: "near-keeping", killReleased: "near-released", killRevoked: "revoked", killFarLook: "far-look", killHeld: "held",
	killFarHeld: "far-held", killFarDrop: "far-dropped", killDoomed: "doomed", killUnlinked: "unlinked", killDropped: "last-dropped",
	killEvicting: "evicting", killMidFree: "half-freed", killFreed: "freed", killEmpty: "slab-empty", killClosing: "slab-closing",
	killPunching: "giving-back", killRefilled: "refilled", killWaiting: "waiting", killCPU: "cpu",
}

// KillPoint names a kill point.
func KillPoint(n int) string {
	if n < 0 || n >= KillPoints {
		return fmt.Sprint("kill point ", n)
	}
	return pointNames[n]
}
