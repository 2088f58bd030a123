package examples

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/internal/invariant"
)

// programs is where build puts them.
var programs string

func TestMain(m *testing.M) {
	os.Setenv("KADRE_CHECK", "empty") // no node ends with something in its store
	dir, err := os.MkdirTemp("", "kadre-examples")
	if err != nil {
		panic(err)
	}
	programs = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// within bounds each program.
const within = 2 * time.Minute

// build gives the folder with all programs, which the first call builds.
func build(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("links programs")
	}
	if invariant.Race {
		t.Skip("the programs are built without the race detector: they would do the same again")
	}
	if err := built(); err != nil {
		t.Fatal(err)
	}
	return programs
}

var built = sync.OnceValue(func() error {
	c := exec.Command("go", "build", "-o", programs, "./...")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
})

// command runs a program where no node of anybody else is found.
func command(t *testing.T, isolate, program string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	run, err := os.MkdirTemp("", "kadre") // short: sockets lie in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	c := exec.CommandContext(ctx, program, args...)
	c.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+run, "KADRE_ISOLATE="+isolate)
	return c
}

func TestPrograms(t *testing.T) {
	dir := build(t)
	for _, tt := range []struct{ line, want string }{
		{"hello", `^\[0 1 4 9 16 25 36 49 64 81\]\n$`},
		{"walkthrough", `\[1 1 1 1 1 1 1 1 1 1\]\n`},
		{"files -dir " + dir, `^[1-9]\d* files, \d+ lines, \d{8,} bytes; 0 could not be read\n$`},
		{"files -dir /no/such", `no such file`},
		{"search", `(?s)^degree .*loss 0.0\d+\n\d+ trials finished, \d+ were not needed\n$`},
		{"paramserver", `(?s)round 10  loss +1\d\.\d+.*round 59  loss +0\.0\d+\n$`},
		{"pipeline -batches 120", `(?s)^50 batches: .*\n100 batches: .*\n120 batches: 118\d\d\d kept, 1\d\d\d dropped, the hottest 5\d\.\d °C at sensor \d+\n$`},
		{"crawler -pages 150", `^150 pages, \d+ bytes, 2 broken links\n$`},
		{"training", `^loss 0\.\d+, known when \d of 8 runs had ended\ntogether: y = 3\.0x \+ 1\.0\n$`},
		{"sort -n 200000 -parts 5", `^200000 numbers sorted in 5 ranges\n$`},
		{"sort -n 3", `^3 numbers sorted in 8 ranges\n$`},
		{"sort -parts 0", `-parts 1 or more`},
	} {
		for _, isolate := range []string{"0", "1"} {
			t.Run(tt.line+" isolate="+isolate, func(t *testing.T) {
				words := strings.Fields(tt.line)
				c := command(t, isolate, filepath.Join(dir, words[0]), words[1:]...)
				var out, stderr bytes.Buffer
				c.Stdout, c.Stderr = &out, &stderr
				if err := c.Run(); err != nil {
					out.WriteString(stderr.String()) // it says why
				}
				if !regexp.MustCompile(tt.want).Match(out.Bytes()) {
					t.Errorf("%s prints\n%s\nand does not match %s\n%s", tt.line, out.String(), tt.want, stderr.String())
				}
			})
		}
	}
}

// TestService asks the server for something, and ends it while it is at work: the answer still comes.
func TestService(t *testing.T) {
	dir := build(t)
	c := command(t, "0", filepath.Join(dir, "service"), "-listen", "127.0.0.1:0")
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var said []string
	url := ""
	for url == "" && lines.Scan() {
		said = append(said, lines.Text())
		url = regexp.MustCompile(`http://[^/]+/primes`).FindString(lines.Text())
	}
	if url == "" {
		t.Fatalf("it never served: %q, %v", said, c.Wait())
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(below string) (string, error) {
		r, err := client.Get(url + "?below=" + below)
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return string(b), err
	}
	if got, err := get("100000"); got != "9592\n" || err != nil {
		t.Errorf("primes below 100000: %q, %v", got, err)
	}
	if got, err := get("many"); !strings.HasPrefix(got, "below must be a number") || err != nil {
		t.Errorf("a bad number: %q, %v", got, err)
	}
	type answer struct {
		text string
		err  error
	}
	late := make(chan answer, 1)
	go func() {
		text, err := get("2000000")
		late <- answer{text, err}
	}()
	for lines.Scan() { // until that request has begun
		if said = append(said, lines.Text()); strings.HasSuffix(lines.Text(), "counting primes below 2000000") {
			break
		}
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if a := <-late; a.text != "148933\n" || a.err != nil {
		t.Errorf("the request that was under way: %q, %v", a.text, a.err)
	}
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	if err := c.Wait(); err != nil {
		t.Errorf("%v\n%s", err, strings.Join(said, "\n"))
	}
}
