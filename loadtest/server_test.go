package loadtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// standIn is a real HTTP server that answers as Fovea does, as fast and as wrong as a test wants.
type standIn struct {
	*httptest.Server
	answer   func(n int64, w http.ResponseWriter, body []byte) // the nth prediction, from 1; nil: a good one
	ready    string                                            // of GET /ready; empty: ready
	metrics  string                                            // of GET /metrics; empty: Fovea's
	posts    atomic.Int64
	inFlight atomic.Int64
	most     atomic.Int64
	mu       sync.Mutex
	bodies   map[string]int
	headers  http.Header // of the last prediction
}

const goodAnswer = `{"model":"m","version":"3","device":"cpu","predictions":[{"top":[{"class":967}]}]}`

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	s := &standIn{bodies: map[string]int{}}
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
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *standIn) predict(w http.ResponseWriter, r *http.Request) {
	now := s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
		continue
	}
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
func (s *standIn) reset() {
	s.posts.Store(0)
	s.most.Store(0)
	s.mu.Lock()
	clear(s.bodies)
	s.mu.Unlock()
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

// quick is a configuration for a stand-in: short windows, no GPUs.
func quick(t *testing.T, s *standIn) Config {
	t.Helper()
	c := Default()
	c.Server, c.GPU, c.Warmup = s.URL, false, 0
	c.Images = folder(t, map[string]string{"a.jpg": "aaaa", "b.png": "bbb", "notes.txt": "no image"})
	c.Window, c.WindowCount, c.MaxWindows = 40*time.Millisecond, 5, 4
	c.Concurrency = []int{2}
	return c
}

func prepared(t *testing.T, c Config) *Plan {
	t.Helper()
	p, err := Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ran(t *testing.T, c Config) *Result {
	t.Helper()
	r, err := prepared(t, c).Run(t.Context(), func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	return r
}
