package testbed_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/invariant"
	"github.com/kadrehq/kadre/internal/testbed"
	"github.com/kadrehq/kadre/internal/trace"
)

func init() {
	drivers["rounds"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		end := make(chan error, 1)
		go func() { end <- s.Hear(new(string)) }()
		said := false
		for {
			select {
			case err := <-end:
				return err
			default:
			}
			for _, o := range []api.TaskOption{api.Spread(), api.OwnProcess(), api.NumCPUs(1)} {
				f := WhereAfter.Options(o)
				var refs []api.Ref[Where]
				for range 4 {
					refs = append(refs, f.Remote(ctx, 2*time.Millisecond))
				}
				if _, err := api.GetAll(ctx, refs); err != nil {
					return err
				}
			}
			if !said {
				said = true
				if err := s.Say("going"); err != nil {
					return err
				}
			}
		}
	})
}

// TestTimeline records a program on two nodes, with workers, and holds the file to what viewers want.
func TestTimeline(t *testing.T) {
	bed := testbed.New(t)
	a := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	b := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	testbed.AwaitMembers(a, b)
	d := a.Driver("rounds")
	var going string
	d.Hear(&going)
	file := filepath.Join(bed.Dir, "trace.json")
	if p := bed.Kadre(testbed.Place{}, "timeline", "-o", file, "--for", "2s", "--socket", a.Socket); p.Code() != 0 {
		t.Fatalf("kadre timeline: %s", p.Stderr())
	}
	d.Tell("end")
	d.Succeed(time.Minute)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := trace.Check(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", s)
	if s.Slices == 0 || s.Flows == 0 || s.Gets == 0 || s.Crossing == 0 || s.Processes < 3 {
		t.Errorf("the timeline has %+v", s)
	}
}

// Fast and Slow are functions that take nothing, and some milliseconds.
var (
	Fast = api.Func1(func(_ context.Context, x int) (int, error) { return x + 1, nil }, api.RegisterAs("fast"))
	Slow = api.Func1(func(ctx context.Context, n int) (int, error) {
		vs, err := api.GetAll(ctx, Fast.Map(ctx, make([]int, n)))
		return len(vs), err
	}, api.RegisterAs("slow"))
)

func init() {
	drivers["million"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		for range 10 {
			refs := []api.Ref[int]{Slow.Remote(ctx, 50_000), Slow.Options(api.OwnProcess()).Remote(ctx, 50_000)}
			if _, err := api.GetAll(ctx, refs); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestTimelineOfAMillionTasks makes the timeline of a program that has ended, and of whose tasks one in many is recorded.
func TestTimelineOfAMillionTasks(t *testing.T) {
	if invariant.Race {
		t.Skip("a bound of bytes, which takes five times as long to reach there")
	}
	const most = 64 << 20
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	n.Driver("million", "KADRE_TRACE=1").Succeed(60 * time.Second)
	file := filepath.Join(bed.Dir, "trace.json")
	if p := bed.Kadre(testbed.Place{}, "timeline", "-o", file, "--for", "0", "--socket", n.Socket); p.Code() != 0 {
		t.Fatalf("kadre timeline: %s", p.Stderr())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := trace.Check(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes: %+v", len(data), s)
	if len(data) > most || s.Processes < 2 || s.Flows < 100 || s.Gets == 0 || s.Crossing == 0 || s.Slices < 1000 {
		t.Errorf("the timeline takes %d bytes and has %+v", len(data), s)
	}
}

// Flood writes that many lines on standard output.
var Flood = api.Func1(func(_ context.Context, n int) (int, error) {
	w := bufio.NewWriter(os.Stdout)
	for i := range n {
		fmt.Fprintf(w, "line %d of the flood\n", i)
	}
	return n, w.Flush()
}, api.OwnProcess(), api.RegisterAs("flood"))

func init() {
	flood := func(opts ...api.InitOption) func(*testbed.Stage) error {
		return func(s *testbed.Stage) error {
			ctx := context.Background()
			rt, err := api.Init(ctx, opts...)
			if err != nil {
				return err
			}
			defer rt.Close()
			var lines int
			if err := s.Hear(&lines); err != nil {
				return err
			}
			n, err := Flood.Remote(ctx, lines).Get(ctx)
			if err != nil {
				return err
			}
			if err := s.Say(n); err != nil {
				return err
			}
			return s.Hear(new(string))
		}
	}
	drivers["logflood"] = flood()
	drivers["logquiet"] = flood(api.LogToDriver(false))
}

// Ignores heeds no end: it goes on until there is a file, and another one tells that it has begun, and where.
var Ignores = api.Func2(func(_ context.Context, file, name string) (int, error) {
	if err := os.WriteFile(file+name+".part", []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return 0, err
	}
	if err := os.Rename(file+name+".part", file+name); err != nil {
		return 0, err
	}
	for {
		if _, err := os.Stat(file); err == nil {
			return 1, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}, api.RegisterAs("ignores"))

func init() {
	drivers["ignores"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		var file string
		if err := s.Hear(&file); err != nil {
			return err
		}
		bound, cancel := context.WithCancel(ctx)
		defer cancel()
		one, two := Ignores.Remote(bound, file, ".1"), Ignores.Remote(ctx, file, ".2")
		var pid []byte
		for _, name := range []string{".1", ".2"} {
			var err error
			for pid, err = os.ReadFile(file + name); err != nil && ctx.Err() == nil; pid, err = os.ReadFile(file + name) {
				time.Sleep(time.Millisecond)
			}
		}
		cancel()
		if err := api.Cancel(ctx, two); err != nil {
			return err
		}
		for _, ref := range []api.Ref[int]{one, two} {
			if _, err := ref.Get(ctx); !errors.Is(err, api.ErrCancelled) {
				return fmt.Errorf("the cancelled task gives %v", err)
			}
		}
		if err := s.Say(string(pid)); err != nil {
			return err
		}
		return s.Hear(&file) // the end
	})
}

// TestAbandonedTasksAreCounted has tasks in the driver's process and in a worker that go on after the end of their context,
// and after they were cancelled.
func TestAbandonedTasksAreCounted(t *testing.T) {
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "8"}})
	here, there := n.Driver("ignores"), n.Driver("ignores", "KADRE_ISOLATE=1")
	files := map[*testbed.Process]string{here: filepath.Join(bed.Dir, "go on"), there: filepath.Join(bed.Dir, "go on there")}
	var want []string
	for _, d := range []*testbed.Process{here, there} {
		d.Tell(files[d])
		var pid string
		d.Hear(&pid)
		if own := strconv.Itoa(d.PID); (pid == own) != (d == here) {
			t.Fatalf("the tasks of driver %s run in process %s", own, pid)
		}
		want = append(want, "2 tasks that did not heed their end were abandoned in process "+pid)
	}
	said := ""
	testbed.Until(t, 60*time.Second, func() bool {
		said = bed.Kadre(testbed.Place{}, "status", "--socket", n.Socket).Stdout()
		return strings.Contains(said, want[0]) && strings.Contains(said, want[1])
	}, func() string { return fmt.Sprintf("of %q something is not shown:\n%s", want, said) })
	for d, file := range files {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		d.Tell("end")
		d.Succeed(time.Minute)
	}
}

// TestShortFloodIsCounted has a driver that ends right after its worker's flood: it is told at the end how many lines it did
// not get.
func TestShortFloodIsCounted(t *testing.T) {
	const lines = 5000
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	d := n.Driver("logflood")
	d.Tell(lines)
	var got int
	d.Hear(&got)
	file := func() bool {
		return strings.Contains(bed.Kadre(testbed.Place{}, "logs", "--socket", n.Socket, "-n", "3").Stdout(), fmt.Sprintf("line %d of the flood", lines-1))
	}
	testbed.Until(t, 60*time.Second, file, func() string { return "the last lines are not in the log" })
	d.Tell("end")
	d.Succeed(time.Minute)
	if came, missing := floodLines(d.Stderr()); came+missing != lines {
		t.Errorf("%d lines came and %d are said to be dropped, of %d", came, missing, lines)
	}
}

var dropped = regexp.MustCompile(`\((\d+) lines were dropped here`)

// floodLines counts the lines of a flood that came to a driver, and those that it was told were dropped.
func floodLines(stderr string) (came, missing int) {
	came = strings.Count(stderr, "(flood pid=")
	for _, m := range dropped.FindAllStringSubmatch(stderr, -1) {
		k, _ := strconv.Atoi(m[1])
		missing += k
		came-- // the line that says so
	}
	return came, missing
}

// TestLogFlood has a worker write a million lines: the driver gets some, and how many it did not get, and 'kadre logs' has
// the last ones.
func TestLogFlood(t *testing.T) {
	const lines = 1_000_000
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	d := n.Driver("logflood")
	d.Tell(lines)
	var got int
	d.Hear(&got)
	if got != lines {
		t.Fatalf("the task gave %d", got)
	}
	last := fmt.Sprintf("line %d of the flood", lines-1)
	testbed.Until(t, 60*time.Second, func() bool {
		p := bed.Kadre(testbed.Place{}, "logs", "--socket", n.Socket, "-n", "3")
		return strings.Contains(p.Stdout(), last) && strings.Count(p.Stdout(), "of the flood") == 3
	}, func() string { return "the last lines are not in the log" })
	came, missing := 0, 0
	count := func() bool {
		came, missing = floodLines(d.Stderr())
		return came+missing == lines
	}
	testbed.Until(t, 60*time.Second, count, func() string {
		return fmt.Sprintf("%d lines came and %d are said to be dropped, of %d", came, missing, lines)
	})
	t.Logf("%d lines came, %d were dropped", came, missing)
	d.Tell("end")
	d.Succeed(time.Minute)

	q := n.Driver("logquiet")
	q.Tell(10)
	q.Hear(&got)
	testbed.Until(t, 60*time.Second, func() bool {
		return strings.Contains(bed.Kadre(testbed.Place{}, "logs", "--socket", n.Socket).Stdout(), "line 9 of the flood")
	}, func() string { return "the lines of the quiet driver's worker are not in the log" })
	q.Tell("end")
	q.Succeed(time.Minute)
	if strings.Contains(q.Stderr(), "of the flood") {
		t.Error("lines came to a driver that wants none")
	}
}
