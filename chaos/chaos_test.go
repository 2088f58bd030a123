package chaos

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/internal/invariant"
)

func TestMain(m *testing.M) {
	RunChild()
	goleak.VerifyTestMain(m)
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
	var log strings.Builder
	o.Log = &log
	plan, err := Find("store-kill")
	if err != nil {
		t.Fatal(err)
	}
	err = plan.Run(t.Context(), o)
	t.Log(log.String())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "0 leaks, 0 corrupt reads") {
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
