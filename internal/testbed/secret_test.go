package testbed_test

import (
	"bytes"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/internal/testbed"
)

// largestLog is the largest file that is looked through for secrets.
const largestLog = 16 << 20

// newToken draws a cluster token as a user does.
func newToken(t *testing.T, bed *testbed.Bed) string {
	t.Helper()
	p := bed.Kadre(testbed.Place{}, "token", "new")
	if p.Code() != 0 {
		t.Fatal(p.Stderr())
	}
	return strings.TrimSpace(p.Stdout())
}

// forms are the shapes in which a token must not be seen: as it is written, in part, and its bits.
func forms(t *testing.T, token string) (l [][]byte) {
	t.Helper()
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(strings.TrimPrefix(token, "kadre1")))
	if err != nil || len(raw) < 32 {
		t.Fatalf("%q is no token: %v", token, err)
	}
	return [][]byte{[]byte(token[10:40]), raw[:32], []byte(hex.EncodeToString(raw[:32])), []byte(fmt.Sprint(raw[:32]))}
}

// noSecret looks for tokens in all that the Bed's processes said, in the arguments and variables of all that run, in
// what nodes tell of themselves, and in every file but those whose names begin with "token".
func noSecret(t *testing.T, bed *testbed.Bed, nodes []*testbed.Node, tokens ...string) {
	t.Helper()
	var secrets [][]byte
	for _, s := range tokens {
		secrets = append(secrets, forms(t, s)...)
	}
	looked := map[string]int{}
	look := func(kind, where string, b []byte) {
		looked[kind]++
		for _, s := range secrets {
			if bytes.Contains(b, s) {
				t.Errorf("a token is in %s %s", kind, where)
			}
		}
	}
	for _, n := range nodes {
		for _, args := range [][]string{{"status"}, {"status", "--json"}, {"status", "--events", "--json"}, {"doctor", "--json"}, {"list", "nodes", "--json"}, {"logs"}} {
			p := bed.Kadre(testbed.Place{Runtime: n.Runtime(), Env: []string{"KADRE_SOCKET=" + n.Socket}}, args...)
			if p.Stdout() == "" && args[0] != "logs" {
				t.Errorf("kadre %v says nothing: %s", args, p.Stderr())
			}
		}
	}
	for _, p := range bed.Processes() { // those of the commands too; of `kadre token new` it is the standard output
		if !strings.HasPrefix(p.Name, "kadre token") {
			look("output", p.Name, []byte(p.Stdout()))
		}
		look("output", p.Name, []byte(p.Stderr()))
	}
	for _, pid := range bed.Alive() {
		for _, name := range []string{"cmdline", "environ"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
			if err != nil {
				continue // it has ended
			}
			look(name, fmt.Sprint(pid), b)
			if bytes.Contains(b, []byte("KADRE_WORKER=1\x00")) {
				if looked["worker"]++; bytes.Contains(b, []byte("TOKEN")) {
					t.Errorf("worker %d has a variable that names the token: %q", pid, b)
				}
			}
		}
	}
	err := filepath.WalkDir(bed.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "token") {
			return nil // files come and go
		}
		if i, err := d.Info(); err == nil && i.Size() < largestLog {
			if b, err := os.ReadFile(path); err == nil {
				look("file", path, b)
			}
		}
		return nil
	})
	if err != nil || looked["worker"] == 0 || looked["file"] < len(nodes) || looked["output"] < 8*len(nodes) || looked["cmdline"] < len(nodes) {
		t.Errorf("looked at %v: %v", looked, err)
	}
	t.Logf("no token in %v", looked)
}
