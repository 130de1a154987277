package api

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"fovea/internal/apierror"
)

// TestCORS: pages must be able to read error responses too.
func TestCORS(t *testing.T) {
	s := open(t)
	for _, test := range []struct {
		method, path string
		status       int
		allowed      bool
	}{
		{"OPTIONS", "/predict", 204, true}, {"OPTIONS", "/v1/models/cats/versions/1/predict", 204, true}, {"OPTIONS", "/nothing", 204, true},
		{"POST", "/predict", 400, true}, {"POST", "/v1/models/dogs/predict", 404, true}, {"GET", "/nothing", 404, true}, {"DELETE", "/predict", 405, true},
		{"GET", "/health", 200, true}, {"GET", "/v1/models", 200, true}, {"GET", "/openapi.json", 200, true}, {"GET", "/metrics", 200, false},
	} {
		r := s.request(test.method, test.path, "image/jpeg", nil)
		r.Header.Set("Origin", "http://app.example")
		if test.method == "OPTIONS" {
			r.Header.Set("Access-Control-Request-Method", "POST")
			s.client.Transport = http.DefaultTransport // the document has routes only
		}
		got := s.do(r)
		if allow := got.Header.Get("Access-Control-Allow-Origin"); got.Status != test.status || (allow == "*") != test.allowed {
			t.Errorf("%s %s: %d, allowed %q", test.method, test.path, got.Status, allow)
		}
	}
	(&http.Client{Transport: http.DefaultTransport}).CloseIdleConnections()
	s = open(t, func(c *Config, _ *engine) { c.CORS = "none" })
	r := s.request("GET", "/health", "", nil)
	r.Header.Set("Origin", "http://app.example")
	if got := s.do(r); got.Header.Get("Access-Control-Allow-Origin") != "" || got.Header.Get("Vary") != "" {
		t.Errorf("none is allowed: %v", got.Header)
	}
}

// http2 makes the site's client speak HTTP/2 by prior knowledge.
func (s *testServer) http2() {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	s.client.Transport = checked{s.t, transport}
	s.t.Cleanup(transport.CloseIdleConnections)
}

// stuck is a body that stops after its beginning until the test ends.
func stuck(t *testing.T, beginning string) io.Reader {
	r, w := io.Pipe()
	go func() { _, _ = io.WriteString(w, beginning) }()
	t.Cleanup(func() { _ = w.Close() })
	return r
}

func TestOverHTTP2(t *testing.T) {
	s := open(t, func(c *Config, _ *engine) { c.BodyTimeout = 300 * time.Millisecond; c.MaxRequests = 1 })
	s.http2()
	s.good()
	for name, size := range map[string]int{"a large body": 3 << 20, "a body that is too large": 17 << 20} {
		got := s.post("/predict", "image/jpeg", strings.Repeat("x", size))
		if want := map[bool]int{true: 200, false: 413}[size < 16<<20]; got.Status != want {
			t.Errorf("%s: %d %.100s", name, got.Status, got.Body)
		}
	}
	t.Run("a slow body ends its stream and no other", func(t *testing.T) {
		if got := s.do(s.request("POST", "/predict", "image/jpeg", stuck(t, "half"))); got.Status != 408 || got.Header.Get("Connection") != "" {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		r := s.request("GET", "/health", "", nil)
		reused := false
		s.do(r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }})))
		if !reused {
			t.Error("the connection was closed with the stream")
		}
	})
	t.Run("a stream that lags is displaced", func(t *testing.T) {
		s.server.cfg.BodyTimeout = time.Minute
		slow := make(chan result, 1)
		go func() { slow <- s.do(s.request("POST", "/predict", "image/jpeg", stuck(t, "half"))) }()
		s.arrived(4)
		s.good()
		if got := <-slow; got.Status != 429 || got.Code != apierror.BodyDisplaced {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		s.good()
	})
}

func TestShutdownFinishesHTTP2Requests(t *testing.T) {
	var respond func()
	s := open(t, func(_ *Config, e *engine) { respond = waiting(e) })
	s.http2()
	responses, ended := make(chan result, 1), make(chan error, 1)
	go func() { responses <- s.post("/predict", "image/jpeg", "wait for it") }()
	s.arrived(int64(len("wait for it")))
	go func() { ended <- s.server.Shutdown(t.Context()) }()
	for !s.server.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	respond()
	if got := <-responses; got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
