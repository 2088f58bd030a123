package registrar

import (
	"fmt"
	"strings"
)

// String is what the machine knows and does, in one line.
func (m *Machine) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.%d: registrars %v by %v", m.self.Node.Short(), m.self.Epoch, m.cfg.Members, m.cfg.Conf)
	fmt.Fprintf(&b, "; %d peers up, %d names held, %d wished for, %d given back, %d proposals, %d watches", len(m.up), len(m.held), len(m.wishes), len(m.releasing), len(m.proposals), len(m.watches))
	if m.until != 0 {
		fmt.Fprintf(&b, "; lease %d for %d ms", m.term, (m.until-m.now)/millisecond)
	}
	if a := m.acc; a != nil {
		fmt.Fprintf(&b, "; registrar of %d registers, %d have started, wedged %v", len(a.regs), len(a.started), a.wedged)
	}
	if a := m.next; a != nil {
		fmt.Fprintf(&b, "; starts in %v, %d have", a.cfg.Conf, len(a.started))
	}
	if c := m.change; c != nil {
		fmt.Fprintf(&b, "; changes %v, phase %d", c.conf, c.phase)
		if c.next != nil {
			fmt.Fprintf(&b, " to %v", c.next.Members)
		}
	}
	return b.String()
}
