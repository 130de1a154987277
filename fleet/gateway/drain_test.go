package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
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
			client := &http.Client{Timeout: testTimeout, Transport: &http.Transport{DisableKeepAlives: !keeps, MaxIdleConnsPerHost: 8}}
			defer client.CloseIdleConnections()
			var clients sync.WaitGroup
			for range 4 {
				clients.Go(func() { keepPosting(t, client, "http://"+first.Addr().String(), stop) })
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

func keepPosting(t *testing.T, client *http.Client, url string, stop <-chan struct{}) {
	f := fixture{client: client, url: url}
	for {
		select {
		case <-stop:
			return
		default:
		}
		if r := f.post("/predict", "an image"); r.err != nil || r.status != http.StatusOK {
			t.Errorf("a request was lost: %d %s %v", r.status, r.body, r.err)
			return
		}
	}
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
	g := New(Defaults(), slog.New(slog.DiscardHandler))
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
