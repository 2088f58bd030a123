package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/api"
)

// Span is the numbers from From up to, and without, To.
type Span struct{ From, To int }

// primes counts the primes in a span.
func primes(ctx context.Context, s Span) (n int, err error) {
next:
	for x := max(s.From, 2); x < s.To; x++ {
		if x%4096 == 0 && ctx.Err() != nil { // the request is gone
			return 0, ctx.Err()
		}
		for d := 2; d*d <= x; d++ {
			if x%d == 0 {
				continue next
			}
		}
		n++
	}
	return n, nil
}

var CountPrimes = api.Func1(primes)

const (
	chunk    = 50_000
	most     = 20_000_000
	graceful = 20 * time.Second
)

// handle answers one request. Its context ends when the client goes, and with it the tasks.
func handle(w http.ResponseWriter, r *http.Request) {
	below, err := strconv.Atoi(r.FormValue("below"))
	if err != nil || below < 0 || below > most {
		http.Error(w, fmt.Sprintf("below must be a number from 0 to %d", most), http.StatusBadRequest)
		return
	}
	log.Printf("counting primes below %d", below)
	var refs []api.Ref[int]
	for from := 0; from < below; from += chunk {
		refs = append(refs, CountPrimes.Remote(r.Context(), Span{from, min(from+chunk, below)}))
	}
	counts, err := api.GetAll(r.Context(), refs)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sum := 0
	for _, n := range counts {
		sum += n
	}
	fmt.Fprintln(w, sum)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to serve on")
	flag.Parse()
	api.RunWorker()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := serve(ctx, *listen); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, listen string) (err error) {
	rt, err := api.Init(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rt.Close()) }()

	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	log.Printf("serving on http://%s/primes?below=1000000", l.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /primes", handle)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done(): // SIGTERM
	case <-rt.Done(): // the node is told to stop
	}
	log.Print("draining")
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceful)
	defer cancel()
	if err := srv.Shutdown(bound); err != nil { // takes no new requests, waits for those that run
		return fmt.Errorf("drain: %w", err)
	}
	return rt.Drain(bound)
}
