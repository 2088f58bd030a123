package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/kadrehq/kadre/api"
)

// Frontier knows which pages were seen. It is an actor: its calls run one at a time, so it needs no lock.
type Frontier struct{ seen map[string]bool }

func newFrontier(ctx context.Context) (*Frontier, error) { return &Frontier{map[string]bool{}}, nil }

// Fresh gives those of the links that nobody has asked about before.
func (f *Frontier) Fresh(ctx context.Context, links []string) (fresh []string, err error) {
	for _, l := range links {
		if !f.seen[l] {
			f.seen[l] = true
			fresh = append(fresh, l)
		}
	}
	return fresh, nil
}

// Found is what a crawl from a page on has found.
type Found struct{ Pages, Bytes, Broken int }

var (
	NewFrontier = api.Class0(newFrontier)
	Fresh       = api.Method1((*Frontier).Fresh)
	Crawl       *api.RemoteFunc1[string, Found] // calls itself: assigned in init
)

func init() { Crawl = api.Func1(crawl) }

var link = regexp.MustCompile(`href="([^"]+)"`)

// crawl reads a page, and remotely all that it links to and that nobody has read.
func crawl(ctx context.Context, url string) (Found, error) {
	page, status, err := fetch(ctx, url)
	if err != nil {
		return Found{}, err
	}
	if status != http.StatusOK {
		return Found{Broken: 1}, nil
	}
	var links []string
	for _, m := range link.FindAllStringSubmatch(page, -1) {
		links = append(links, url[:strings.LastIndexByte(url, '/')+1]+m[1])
	}
	frontier, err := api.GetActor[Frontier](ctx, "frontier") // by its name, wherever this task runs
	if err != nil {
		return Found{}, err
	}
	fresh, err := Fresh.Remote(ctx, frontier, links).Get(ctx)
	if err != nil {
		return Found{}, err
	}
	below, err := api.GetAll(ctx, Crawl.Map(ctx, fresh)) // waits without holding a CPU
	if err != nil {
		return Found{}, err
	}
	all := Found{Pages: 1, Bytes: len(page)}
	for _, f := range below {
		all = Found{all.Pages + f.Pages, all.Bytes + f.Bytes, all.Broken + f.Broken}
	}
	return all, nil
}

func fetch(ctx context.Context, url string) (page string, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(b), resp.StatusCode, err
}

func main() {
	pages := flag.Int("pages", 300, "pages of the site")
	flag.Parse()
	api.RunWorker() // before the site is served: workers do not serve it too
	if err := run(context.Background(), *pages); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, pages int) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	site := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { servePage(w, r, pages) })}
	go site.Serve(l)
	defer site.Close()

	rt, err := api.Init(ctx)
	if err != nil {
		return err
	}
	defer rt.Close()

	home := "http://" + l.Addr().String() + "/0"
	frontier := NewFrontier.Options(api.Name("frontier")).Remote(ctx)
	if _, err := Fresh.Remote(ctx, frontier, []string{home}).Get(ctx); err != nil {
		return err
	}
	found, err := Crawl.Remote(ctx, home).Get(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d pages, %d bytes, %d broken links\n", found.Pages, found.Bytes, found.Broken)
	return nil
}

// servePage gives page /n, which links to /2n+1, /2n+2, back to /n/2, and to a page that is not there.
func servePage(w http.ResponseWriter, r *http.Request, pages int) {
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil || n < 0 || n >= pages {
		http.NotFound(w, r)
		return
	}
	for _, to := range []int{2*n + 1, 2*n + 2, n / 2} {
		if to < pages {
			fmt.Fprintf(w, "<a href=\"%d\">page %d</a>\n", to, to)
		}
	}
	if n%100 == 0 {
		fmt.Fprintf(w, "<a href=\"lost%d\">lost</a>\n", n)
	}
}
