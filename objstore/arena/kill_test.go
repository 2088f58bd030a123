package arena

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// victimIDs is how many IDs the victims share.
const victimIDs = 200

// mischief is one random thing that a client may do; it checks all that it sees.
func mischief(a *Arena, r *rand.Rand) error {
	n := r.IntN(victimIDs)
	switch r.IntN(10) {
	case 0, 1, 2:
		size := r.Int64N(3000)
		if r.IntN(4) == 0 {
			size = r.Int64N(300 << 10)
		}
		w, err := a.Create(oid(n), size, testJob, uint32(n))
		if errors.Is(err, ErrExists) || errors.Is(err, ErrFull) {
			return nil
		} else if err != nil {
			return err
		}
		fill(w.Bytes(), n)
		if r.IntN(10) == 0 {
			w.Abort()
			return nil
		}
		h, err := w.Seal(r.IntN(2) == 0)
		if err != nil || h == nil {
			return err
		}
		defer h.Release()
		return check(h.Bytes(), n)
	case 3, 4:
		if r.IntN(3) == 0 {
			a.Evict(oid(n), uint32(n))
		} else {
			a.Delete(oid(n))
		}
	case 5:
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(2000))*time.Microsecond)
		defer cancel()
		h, err := a.Wait(ctx, oid(n))
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		} else if err != nil {
			return err
		}
		defer h.Release()
		return check(h.Bytes(), n)
	case 6:
		if _, err := a.Trim(r.Int64N(8<<20), r.Int64N(8<<20)); err != nil {
			return err
		}
		if slot, ok := a.ClaimCPU(); ok {
			a.ReleaseCPU(slot)
		} else {
			a.WantCPU(r.IntN(2) == 0)
		}
	default:
		h, ok := a.Get(oid(n))
		if !ok {
			return nil
		}
		defer h.Release()
		if h.Attempt() != uint32(n) || h.ID() != oid(n) {
			return fmt.Errorf("object %d is %s, attempt %d", n, h.ID(), h.Attempt())
		}
		for range r.IntN(4) {
			if err := mischief(a, r); err != nil {
				return err
			}
		}
		return check(h.Bytes(), n)
	}
	return nil
}

// TestKill kills real processes at every kill point and at random, with others at work.
func TestKill(t *testing.T) {
	kills := 100
	if s := os.Getenv("KADRE_KILLS"); s != "" {
		kills, _ = strconv.Atoi(s)
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("KADRE_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("KADRE_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	c := newArena(t, Config{Size: 8 << 20, Entries: 400})
	c.startGenerations(t, genMask-5)
	if err := c.SetCPUs(2500); err != nil {
		t.Fatal(err)
	}
	c.recheck = time.Hour
	defer serve(c.Arena)()
	slots := []int{1, 30, 31, 100, 255}
	kids := make([]*child, len(slots))
	points := make([]int, len(slots)) // where each child is to die
	start := func(i, n int) {
		points[i] = n % (int(killPoints) + 4) // some have none, and are killed anywhere
		kids[i] = c.spawn(t, "victim", slots[i], uint64(n+1), r.IntN(1<<30), points[i], r.IntN(1+n%2*200))
	}
	var total ReapStats
	var reached [killPoints + 4]int
	stop := func(i int) {
		if how := kids[i].end(); how != "signal: killed <nil>" {
			t.Errorf("victim in slot %d ended by itself: %s", slots[i], how)
		}
		add(&total, c.Reap(slots[i]))
	}
	for i := range kids {
		start(i, i)
	}
	for n := len(kids); n < kills+len(kids) && !t.Failed(); n++ {
		i := r.IntN(len(kids))
		if kids[i].diesWithin(time.Duration(10+r.IntN(40)) * time.Millisecond) {
			reached[points[i]]++
		}
		stop(i)
		for range 20 { // the node is a client like others
			if err := mischief(c.Arena, r); err != nil {
				t.Fatal(err)
			}
		}
		start(i, n)
		if n%25 == 0 {
			for i := range kids {
				stop(i)
			}
			if err := c.Audit().Check(); err != nil {
				t.Fatal(err)
			}
			for i := range kids {
				start(i, n+i)
			}
		}
	}
	for i := range kids {
		stop(i)
	}
	t.Logf("%d kills, at kill points %v; reaped %+v", kills, reached, total)
	u := c.Audit()
	if err := u.Check(); err != nil {
		t.Error(err)
	}
	if len(u.Holders) != 0 || u.Waits != 0 || u.CPUMilli != 0 || c.CPUWaiters().Load() > 1 {
		t.Errorf("left behind:\n%v", u)
	}
	c.DeleteJob(testJob)
}

func add(to *ReapStats, s ReapStats) {
	to.Held += s.Held
	to.Finished += s.Finished
	to.Evicted += s.Evicted
	to.Reopened += s.Reopened
	to.Punched += s.Punched
	to.Waits += s.Waits
	to.CPUs += s.CPUs
}

// TestSealerDies kills a sealer between its seal and its wake-up, with a process and a goroutine waiting.
func TestSealerDies(t *testing.T) {
	c := newArena(t, Config{Size: 8 << 20})
	c.recheck = time.Hour
	defer serve(c.Arena)()
	g := c.spawn(t, "getter", 5, 1)
	defer func() { g.end(); c.Reap(5) }()
	defer time.AfterFunc(30*time.Second, func() { g.cmd.Process.Kill() }).Stop() // if nobody wakes it
	for n := range 5 {
		slot := []int{7, 50}[n%2]
		got := make(chan error)
		go func() {
			h, err := c.Wait(context.Background(), oid(n))
			if err == nil {
				err = check(h.Bytes(), n)
				h.Release()
			}
			got <- err
		}()
		sh := shardOf(hash(oid(n)))
		until(t, "both waiters", func() bool { return c.shards[sh][0].Load() == 1<<0|1<<5 })
		k := c.spawn(t, "sealer", slot, uint64(n+1), n)
		<-k.dead
		if _, ok := c.State(oid(n)); !ok {
			t.Fatal("the sealer died too early")
		}
		select {
		case err := <-got:
			t.Fatal("woken by the dead:", err)
		default:
		}
		if s := c.Reap(slot); s.Held != 1 {
			t.Fatalf("%+v", s)
		}
		select {
		case err := <-got:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nobody woke the goroutine")
		}
		if line, err := g.out.ReadString('\n'); err != nil || line != fmt.Sprintln("got", n) {
			t.Fatal(line, err)
		}
	}
	until(t, "the last release", func() bool { return c.Audit().Holders[5] == 0 })
	c.DeleteJob(testJob)
}

// TestOneMapping shows that two processes map the same file and see each other's writes.
func TestOneMapping(t *testing.T) {
	c := newArena(t, Config{Size: 8 << 20})
	k := c.spawn(t, "mapper", 1, 1)
	defer func() { k.end(); c.Reap(1) }()
	var rw, ro uintptr
	if _, err := fmt.Fscanln(k.out, &rw, &ro); err != nil {
		t.Fatal(err)
	}
	want := inode(t, os.Getpid(), uintptr(unsafe.Pointer(&c.mem[0])))
	for _, addr := range []uintptr{rw, ro} {
		if got := inode(t, k.cmd.Process.Pid, addr); got != want {
			t.Fatalf("device and inode %s there, %s here", got, want)
		}
	}
	if line, err := k.out.ReadString('\n'); err != nil || line != "sealed\n" {
		t.Fatal(line, err)
	}
	h, ok := c.Get(oid(1))
	if !ok {
		t.Fatal("the other process's object is not here")
	}
	if err := check(h.Bytes(), 1); err != nil {
		t.Fatal(err)
	}
	h.Release()
	if err := put(c.Arena, 2, 1000); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(k.in)
	if line, err := k.out.ReadString('\n'); err != nil || line != "read\n" {
		t.Fatal(line, err)
	}
	c.DeleteJob(testJob)
	<-k.dead
	c.Reap(1)
}

// inode is the device and inode that a process has mapped at an address.
func inode(t *testing.T, pid int, addr uintptr) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines(string(b)) {
		var lo, hi uintptr
		f := strings.Fields(l)
		if n, _ := fmt.Sscanf(f[0], "%x-%x", &lo, &hi); n == 2 && lo <= addr && addr < hi {
			return f[3] + " " + f[4]
		}
	}
	t.Fatalf("process %d maps nothing at %x", pid, addr)
	return ""
}
