package bench

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// What a plain connection is for, its first byte.
const (
	rawEcho = 'E' // messages of callBytes come back
	rawSend = 'S' // the object is sent
)

const (
	rawPiece  = 1 << 20  // bytes of a write, and of a read at most
	rawBuffer = 64 << 10 // of messages
)

// rawServer is the plain side of the references: TLS over TCP and a unix socket, as one would write them.
type rawServer struct {
	tls, unix net.Listener
	object    func() ([]byte, func(), error)
	wg        sync.WaitGroup
}

func (s *rawServer) listen(ip, path string, object func() ([]byte, func(), error)) error {
	cert, err := rawCert()
	if err != nil {
		return err
	}
	s.object = object
	if s.tls, err = tls.Listen("tcp", net.JoinHostPort(ip, "0"), &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}); err != nil {
		return err
	}
	if s.unix, err = net.Listen("unix", path); err != nil {
		return err
	}
	for _, ln := range []net.Listener{s.tls, s.unix} {
		s.wg.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				s.wg.Go(func() { s.serve(c) })
			}
		})
	}
	return nil
}

func (s *rawServer) close() {
	for _, ln := range []net.Listener{s.tls, s.unix} {
		if ln != nil {
			ln.Close()
		}
	}
	s.wg.Wait() // the other process has closed its ends
}

func rawCert() (tls.Certificate, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	d, err := x509.CreateCertificate(rand.Reader, t, t, &k.PublicKey, k)
	return tls.Certificate{Certificate: [][]byte{d}, PrivateKey: k}, err
}

func (s *rawServer) serve(c net.Conn) {
	defer c.Close()
	var what [1]byte
	if _, err := io.ReadFull(c, what[:]); err != nil {
		return
	}
	switch what[0] {
	case rawEcho:
		echo(c)
	case rawSend:
		b, release, err := s.object()
		if err != nil {
			return
		}
		defer release()
		for len(b) > 0 {
			k, err := c.Write(b[:min(len(b), rawPiece)])
			if err != nil {
				return
			}
			b = b[k:]
		}
	}
}

// echo sends messages back, all that came together in one write.
func echo(c net.Conn) {
	r, w := bufio.NewReaderSize(c, rawBuffer), bufio.NewWriterSize(c, rawBuffer)
	var m [callBytes]byte
	for {
		if _, err := io.ReadFull(r, m[:]); err != nil {
			return
		}
		w.Write(m[:])
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

// rawPing gives the time of each of N round trips, one after the other.
func rawPing(o netOrder) ([]float64, error) {
	c, err := rawDial(o.Addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write([]byte{rawEcho}); err != nil {
		return nil, err
	}
	var m [callBytes]byte
	took := make([]float64, 0, o.N)
	for range o.N {
		begin := time.Now()
		if _, err := c.Write(m[:]); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c, m[:]); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(begin)))
	}
	return took, nil
}

// rawInflight keeps callsAtOnce messages under way and counts those that come back in a second.
func rawInflight(o netOrder) (float64, error) {
	c, err := rawDial(o.Addr)
	if err != nil {
		return 0, err
	}
	if _, err := c.Write([]byte{rawEcho}); err != nil {
		return 0, err
	}
	free := make(chan struct{}, callsAtOnce)
	for range callsAtOnce {
		free <- struct{}{}
	}
	var done atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() { // writes what may go, all there is together
		w := bufio.NewWriterSize(c, rawBuffer)
		var m [callBytes]byte
		for {
			select {
			case <-free:
			case <-stop:
				return
			}
			w.Write(m[:])
			if len(free) == 0 && w.Flush() != nil {
				return
			}
		}
	})
	wg.Go(func() {
		r := bufio.NewReaderSize(c, rawBuffer)
		var m [callBytes]byte
		for {
			if _, err := io.ReadFull(r, m[:]); err != nil {
				return
			}
			done.Add(1)
			free <- struct{}{}
		}
	})
	rate := countFor(o.For, &done)
	close(stop)
	c.Close()
	wg.Wait()
	return rate, nil
}

// countFor is how much a counter grows in a second, after it has got going.
func countFor(d time.Duration, n *atomic.Int64) float64 {
	<-time.After(d / 5)
	from, begin := n.Load(), time.Now()
	<-time.After(d)
	return float64(n.Load()-from) / time.Since(begin).Seconds()
}
