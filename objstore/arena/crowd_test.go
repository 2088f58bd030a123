package arena

import (
	"bufio"
	"fmt"
	"os"
	"testing"

	"github.com/kadrehq/kadre/internal/invariant"
)

func init() { roles["member"] = member }

// member puts an object of its own and keeps it, gets everybody's, says so, and waits for the end of its input.
func member() {
	a, args := join()
	n := args[0]
	w, err := a.Create(oid(n), 2000, testJob, 0)
	if err != nil {
		fail(err)
	}
	fill(w.Bytes(), n)
	if _, err := w.Seal(true); err != nil {
		fail(err)
	}
	h, ok := a.Get(oid(0))
	if !ok {
		fail(fmt.Errorf("no object 0"))
	}
	if err := check(h.Bytes(), 0); err != nil {
		fail(err)
	}
	fmt.Println("in")
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// TestCrowdOfProcesses attaches a real process to each slot, kills half of them and lets the others go without a word.
func TestCrowdOfProcesses(t *testing.T) {
	most := maxClients - 1
	if invariant.Enabled { // the slower run of the two
		most = 16
	}
	c := newArena(t, Config{Size: 16 << 20})
	if err := put(c.Arena, 0, 1000); err != nil {
		t.Fatal(err)
	}
	var kids []*child
	for slot := 1; slot <= most; slot++ {
		kids = append(kids, c.spawn(t, "member", slot, uint64(slot), slot))
	}
	defer func() {
		for _, k := range kids {
			k.end()
		}
	}()
	for i, k := range kids {
		if line, err := k.out.ReadString('\n'); err != nil || line != "in\n" {
			t.Fatalf("process %d of %d: %q, %v", i+1, most, line, err)
		}
	}
	u := c.Audit()
	if err := u.Check(); err != nil || len(u.Clients) != most || len(u.Holders) != most || u.Sealed != most+1 {
		t.Fatalf("%d processes: %v\n%v", most, err, u)
	}
	c.Delete(oid(0)) // it stays as long as one of them holds it
	for i, k := range kids {
		if i%2 == 0 {
			k.in.Close()
			<-k.dead
		} else {
			k.end()
		}
		if s := c.Reap(i + 1); s.Held != 2 {
			t.Fatalf("process %d of %d held %+v", i+1, most, s)
		}
		if u := c.Audit(); u.Check() != nil || u.Doomed != count(i < most-1) || len(u.Holders) != most-1-i {
			t.Fatalf("after the death of %d of %d: %v\n%v", i+1, most, u.Check(), u)
		}
	}
	c.DeleteJob(testJob)
}
