package loadtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fakeServer is an HTTP server that imitates Fovea, as fast and as wrong as a test wants. Its connections are in memory, so
// that a test in a synctest bubble runs in virtual time.
type fakeServer struct {
	*pipeListener
	URL      string
	handler  http.Handler
	answer   func(n int64, w http.ResponseWriter, body []byte) // the nth prediction, from 1; nil: a good one
	ready    string                                            // of GET /ready; empty: ready
	metrics  string                                            // of GET /metrics; empty: Fovea's
	posts    atomic.Int64
	inFlight atomic.Int64
	peak     atomic.Int64
	mu       sync.Mutex
	bodies   map[string]int
	headers  http.Header // of the last prediction
}

const goodAnswer = `{"model":"m","version":"3","device":"cpu","predictions":[{"top":[{"class":967}]}]}`

func newFakeServer(t *testing.T) *fakeServer {
	t.Helper()
	s := &fakeServer{bodies: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if s.ready != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, `{"status":"starting","reasons":[%q]}`, s.ready)
			return
		}
		_, _ = io.WriteString(w, `{"status":"ready","reasons":[]}`)
	})
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"default":"m","models":[{"name":"m","task":"classification"},{"name":"d","task":"detection"}]}`)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		if s.metrics != "" {
			_, _ = io.WriteString(w, s.metrics)
			return
		}
		n := s.posts.Load()
		fmt.Fprintf(w, "# TYPE fovea_stage_duration_seconds histogram\n"+
			"fovea_stage_duration_seconds_bucket{model=\"m\",stage=\"infer\",le=\"0.01\"} %d\n"+
			"fovea_stage_duration_seconds_sum{model=\"m\",stage=\"infer\"} %g\n"+
			"fovea_stage_duration_seconds_count{model=\"m\",stage=\"infer\"} %d\n", n, float64(n)*0.005, n)
	})
	mux.HandleFunc("POST /v1/models/m/predict", s.predict)
	mux.HandleFunc("POST /foreign", s.predict)
	s.URL, s.handler, s.pipeListener = "http://fake", mux, &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: mux}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(s.pipeListener) // until it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close() // does not wait for handlers, for which a test with virtual time must
		<-served
		for s.inFlight.Load() > 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Millisecond)
	})
	return s
}

// pipeListener accepts connections that its dial opens.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address != "fake:80" {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *fakeServer) predict(w http.ResponseWriter, r *http.Request) {
	now := s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	for peak := s.peak.Load(); now > peak && !s.peak.CompareAndSwap(peak, now); peak = s.peak.Load() {
		continue
	}
	time.Sleep(time.Millisecond) // virtual time advances only while everything waits
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.bodies[string(body)]++
	s.headers = r.Header.Clone()
	s.mu.Unlock()
	n := s.posts.Add(1)
	if s.answer != nil {
		s.answer(n, w, body)
		return
	}
	_, _ = io.WriteString(w, goodAnswer)
}

// reset forgets what was sent so far.
func (s *fakeServer) reset() {
	s.posts.Store(0)
	s.peak.Store(0)
	s.mu.Lock()
	clear(s.bodies)
	s.mu.Unlock()
}

// inBubble runs a test in virtual time.
func inBubble(test func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}

// folder makes a folder of files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// quick is a configuration for a fake server: short windows, no GPUs.
func quick(t *testing.T, s *fakeServer) Config {
	t.Helper()
	c := Default()
	c.Server, c.GPU, c.Warmup = s.URL, false, 0
	c.Images = folder(t, map[string]string{"a.jpg": "aaaa", "b.png": "bbb", "notes.txt": "no image"})
	c.Window, c.WindowCount, c.MaxWindows = 40*time.Millisecond, 5, 4
	c.Concurrency = []int{2}
	return c
}

func prepared(t *testing.T, s *fakeServer, c Config) *Plan {
	t.Helper()
	p, err := prepare(t.Context(), c, s.dial)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ran(t *testing.T, s *fakeServer, c Config) *Result {
	t.Helper()
	r, err := prepared(t, s, c).Run(t.Context(), func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	return r
}
