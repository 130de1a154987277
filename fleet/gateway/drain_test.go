package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fovea/internal/httpserver"
)

func TestShutdownLosesNoRequests(t *testing.T) {
	for name, keeps := range map[string]bool{"kept connections": true, "a connection for each request": false} {
		t.Run(name, func(t *testing.T) {
			var hits atomic.Int64
			replica := server(t, "a", echo(&hits))
			first, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			inherited, err := first.(*net.TCPListener).File() // keeps it open between one gateway and the next
			if err != nil {
				t.Fatal(err)
			}
			_ = first.Close()
			defer inherited.Close()
			stop := make(chan struct{})
			var used sync.Map // when each connection was opened or had its last request
			dial := func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, address)
				used.Store(c, time.Now())
				return c, err
			}
			client := &http.Client{Timeout: testTimeout, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: !keeps, MaxIdleConnsPerHost: 8}}
			defer client.CloseIdleConnections()
			var clients sync.WaitGroup
			for range 4 {
				clients.Go(func() { keepPosting(t, client, &used, "http://"+first.Addr().String(), stop) })
			}
			for range 5 {
				serveAWhile(t, inherited, replica, &hits)
			}
			last := serveOn(t, inherited, replica)
			close(stop)
			clients.Wait()
			last()
		})
	}
}

// keepPosting posts until stop. A connection without a request for the lame-duck period may be closed without notice, and
// a busy machine may delay a client that much: only then may a request be lost.
func keepPosting(t *testing.T, client *http.Client, used *sync.Map, url string, stop <-chan struct{}) {
	f := fixture{client: client}
	for {
		select {
		case <-stop:
			return
		default:
		}
		var last any // when the connection's previous request began, or it was opened
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			last, _ = used.Swap(info.Conn, time.Now())
		}})
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/predict", strings.NewReader("an image"))
		if err != nil {
			t.Error(err)
			return
		}
		r := f.do(req)
		if since, ok := last.(time.Time); ok && r.status == 0 && time.Since(since) >= lameDuckPeriod {
			continue
		}
		if r.status != http.StatusOK {
			t.Errorf("a request was lost: %d %s %v", r.status, r.body, r.err)
			return
		}
	}
}

// A connection whose response did not announce its end is kept for the lame-duck period after it.
func TestDrainKeepsConnectionsThatJustBecameIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &http.Server{}
		tracker := connTracker{Connections: httpserver.Watch(server)}
		idle, active := &net.TCPConn{}, &net.TCPConn{}
		server.ConnState(idle, http.StateIdle)
		server.ConnState(active, http.StateActive)
		var drained atomic.Bool
		go func() {
			tracker.drain(t.Context())
			drained.Store(true)
		}()
		time.Sleep(10 * lameDuckPeriod)
		server.ConnState(active, http.StateIdle)
		time.Sleep(lameDuckPeriod * 9 / 10)
		if synctest.Wait(); drained.Load() {
			t.Error("a connection that has just become idle is not waited for")
		}
		time.Sleep(lameDuckPeriod)
		if synctest.Wait(); !drained.Load() {
			t.Error("idle connections are waited for after the lame-duck period")
		}
	})
}

// serveAWhile starts a gateway, lets it serve some requests and shuts it down.
func serveAWhile(t *testing.T, inherited *os.File, replica Replica, hits *atomic.Int64) {
	t.Helper()
	end := serveOn(t, inherited, replica)
	before := hits.Load()
	until(t, "requests to be served", func() bool { return hits.Load() > before+50 })
	end()
}

// serveOn starts a gateway and returns a function that shuts it down.
func serveOn(t *testing.T, inherited *os.File, replica Replica) (end func()) {
	t.Helper()
	l, err := net.FileListener(inherited)
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(patient(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Balancer().Set([]Replica{replica}); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := g.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := wait(t, "the end of serving", served); err != nil {
			t.Error(err)
		}
	}
}
