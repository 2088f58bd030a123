package node

const (
	keepPages  = 64 << 20  // bytes of free room that keep their pages
	givePages  = 256 << 20 // bytes whose pages are given back at a time, at most
	tideShift  = 2         // the tide falls by a quarter of itself at a look
	slackShift = 3         // and an eighth more than it keeps its pages
)

// tide follows how much of the arena was in use of late. What was used a moment ago is used again soon, and to
// get its pages anew costs more than to fill them.
type tide int64

// keep takes a look at how many bytes are in use, once a second, and says how many that are free shall keep
// their pages.
func (t *tide) keep(used int64) int64 {
	*t = max(*t-*t>>tideShift, tide(used))
	recent := int64(*t)
	return max(recent+recent>>slackShift-used, keepPages)
}

// giveBack has the arena give pages back that were not used for a while, some at a time.
func (n *Node) giveBack() {
	free, _ := n.arena.Left()
	freed, err := n.arena.Trim(n.tide.keep(n.arena.Size()-free), givePages)
	if err != nil {
		n.log.Warn("node: giving memory back to the system", "err", err)
	}
	if freed > 0 {
		n.event("arena", "trim", "", freed, "")
	}
}
