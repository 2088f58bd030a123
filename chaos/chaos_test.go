package chaos

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/invariant"
	"github.com/kadrehq/kadre/internal/testbed"
	"github.com/kadrehq/kadre/internal/testnet"
	"github.com/kadrehq/kadre/objstore/arena"
)

func TestMain(m *testing.M) {
	RunChild()
	api.RunWorker()
	os.Setenv("KADRE_CHECK", "empty") // no node ends with something in its store
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		testbed.Clean()
		os.Exit(code)
	}))
}

// TestStoreKill is short; KADRE_KILLS asks for more kills, KADRE_SEED for other choices.
func TestStoreKill(t *testing.T) {
	o := Options{Kills: 200, Seed: uint64(time.Now().UnixNano())}
	if invariant.Enabled { // the slower run of the two
		o.Kills = 60
	}
	if s := os.Getenv("KADRE_KILLS"); s != "" {
		o.Kills, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("KADRE_SEED"); s != "" {
		o.Seed, _ = strconv.ParseUint(s, 10, 64)
	}
	said := held(t, "store-kill", o)
	if !strings.Contains(said, "0 leaks, 0 corrupt reads") {
		t.Error("the end is missing")
	}
	for p := range arena.KillPoints {
		if got := regexp.MustCompile(" " + arena.KillPoint(p) + ` (\d+)`).FindStringSubmatch(said); got == nil || got[1] == "0" {
			t.Errorf("nobody was killed at %s", arena.KillPoint(p))
		}
	}
}

// held runs a plan that must hold and gives what it said.
func held(t *testing.T, name string, o Options) string {
	t.Helper()
	var log strings.Builder
	o.Log = &log
	plan, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	err = plan.Run(t.Context(), o)
	t.Log(log.String())
	if err != nil {
		t.Fatal(err)
	}
	return log.String()
}

// TestClusterPlans runs those of whole clusters on a few nodes, in part, with times that only a hang exceeds.
func TestClusterPlans(t *testing.T) {
	testbed.NeedRoot(t)
	t.Setenv("KADRE_TESTNET_EXE", testbed.Kadre(t))
	for _, name := range []string{"silent-death", "partition"} {
		t.Run(name, func(t *testing.T) {
			plan, err := Find(name)
			if err != nil {
				t.Fatal(err)
			}
			var log, progress strings.Builder
			err = plan.Run(t.Context(), Options{Nodes: 6, Seed: uint64(time.Now().UnixNano()), Slack: 10, Log: &log, Progress: &progress, brief: true})
			t.Log(log.String(), progress.String())
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log.String(), "all of it held") || strings.Contains(log.String(), "MISSED") {
				t.Error("the end is missing")
			}
		})
	}
}

func TestMissedMarksAreTold(t *testing.T) {
	var log strings.Builder
	d := &drill{Options: Options{Log: &log, Seed: 7}.withDefaults(), name: "trial", net: &testnet.Net{}}
	d.hold("in time", time.Second, time.Second)
	d.hold("late", 3*time.Second, 2*time.Second)
	d.check("there", true, "1")
	d.check("lost", false, "none")
	err := d.end(nil)
	if err == nil || !strings.Contains(err.Error(), "seed 7") || !strings.Contains(err.Error(), "late: 3s, at most 2s; lost: none") {
		t.Errorf("told %v", err)
	}
	if n := strings.Count(log.String(), "MISSED"); n != 2 {
		t.Errorf("%d lines of 2 say that it was missed:\n%s", n, log.String())
	}
	all := []testnet.Took{{For: 3}, {For: 1}, {For: 2, Err: "no"}}
	if quantile(all, 0.5) != 3 || quantile(all, 0.99) != time.Hour || quantile(nil, 0.5) != 0 {
		t.Error("a quantile is wrong")
	}
}

// TestWorkerKill has few runs; KADRE_RUNS asks for more, KADRE_SEED for other choices.
func TestWorkerKill(t *testing.T) {
	o := Options{Runs: 20, Seed: uint64(time.Now().UnixNano())}
	if s := os.Getenv("KADRE_RUNS"); s != "" {
		o.Runs, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("KADRE_SEED"); s != "" {
		o.Seed, _ = strconv.ParseUint(s, 10, 64)
	}
	if !strings.Contains(held(t, "worker-kill", o), "0 tasks lost") {
		t.Error("the end is missing")
	}
}

// TestMemoryHog has a node with 200 MiB for its workers; KADRE_MEMORY, in MiB, asks for the whole plan.
func TestMemoryHog(t *testing.T) {
	o := Options{Memory: 200 << 20, brief: true}
	if s := os.Getenv("KADRE_MEMORY"); s != "" {
		mib, _ := strconv.ParseInt(s, 10, 64)
		o = Options{Memory: mib << 20}
	}
	if !strings.Contains(held(t, "memory-hog", o), "0 other tasks lost") {
		t.Error("the end is missing")
	}
}

func TestFindNamesThePlans(t *testing.T) {
	if _, err := Find("everything"); err == nil || !strings.Contains(err.Error(), "store-kill") {
		t.Errorf("an unknown plan gives %v", err)
	}
	for _, p := range Plans() {
		if len(p.Does) < 20 || p.Run == nil {
			t.Errorf("%s lacks something", p.Name)
		}
	}
}

// TestStuck holds the reports to times that only a hang exceeds.
func TestStuck(t *testing.T) {
	o := Options{Runs: 40, Seed: uint64(time.Now().UnixNano()), Slack: 10}
	said := held(t, "stuck", o)
	for what, want := range map[string]int{"deadlock with its chain": 11, "listed as waiting for": 6, "ended with an": 1, "ended, not reported": 1} {
		if got := strings.Count(said, what); got != want {
			t.Errorf("%d times %q, want %d", got, what, want)
		}
	}
}
