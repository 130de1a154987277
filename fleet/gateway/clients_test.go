package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/testenv"
)

// TestIdleClientsBlockNoRequests: more connections than requests are allowed, each of which announces a body and
// sends little of it.
func TestIdleClientsBlockNoRequests(t *testing.T) {
	for name, idle := range map[string]string{
		"a length, and nothing":  "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 67108864\r\n\r\n",
		"a length, and 10 bytes": "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 67108864\r\n\r\nten bytes.",
		"chunks, and nothing":    "POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"no headers":             "",
	} {
		t.Run(name, func(t *testing.T) {
			var hits atomic.Int64
			f := start(t, func(c *Config) { c.MaxRequests = 8 }, server(t, "a", echo(&hits)))
			var conns []net.Conn
			for range 40 {
				c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_, _ = io.WriteString(c, idle)
				conns = append(conns, c)
			}
			if idle != "" { // all but those that hold an admission have been rejected
				until(t, "the idle clients to be rejected", func() bool { return strings.Count(f.log.String(), "\n") >= len(conns)-8 })
			}
			for range 50 {
				if got := f.post("/predict", "image"); got.status != 200 || got.body != "image" {
					t.Fatalf("%+v", got)
				}
			}
			if idle == "" {
				return
			}
			_ = conns[0].SetReadDeadline(time.Now().Add(testTimeout))
			answer, err := http.ReadResponse(bufio.NewReader(conns[0]), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			text, _ := io.ReadAll(answer.Body)
			code := map[int]string{429: "body_displaced", 503: "gateway_busy", 408: "body_timeout"}[answer.StatusCode] // the last where the test is slower than the grace
			if code == "" || !strings.Contains(string(text), `"`+code+`"`) || answer.StatusCode != 408 && answer.Header.Get("Retry-After") == "" {
				t.Errorf("the first idle one: %d %v %s", answer.StatusCode, answer.Header, text)
			}
		})
	}
}

// TestSlowReadersBlockNoRequests: the responses exceed the sockets' buffers.
func TestSlowReadersBlockNoRequests(t *testing.T) {
	large := strings.Repeat("x", 8<<20)
	f := start(t, func(c *Config) { c.MaxRequests = 4 }, server(t, "a", func(w http.ResponseWriter, r *http.Request) {
		if _, _ = io.Copy(io.Discard, r.Body); r.URL.Path == "/large" {
			_, _ = io.WriteString(w, large)
		}
	}))
	for range 8 {
		c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
		if _, err := bufio.NewReader(c).Peek(1); err != nil { // the response has begun
			t.Fatal(err)
		}
	}
	if got := f.post("/predict", "image"); got.status != 200 {
		t.Errorf("%+v", got)
	}
}

func TestSlowBodyErrorNamesTheRate(t *testing.T) {
	f := start(t, func(c *Config) { c.BodyTimeout = time.Minute; c.MinBodyRate = 1 << 20 }, server(t, "a", echo(new(atomic.Int64))))
	c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != 408 || !strings.Contains(string(text), "less than 1048576 bytes per second") {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
}

func TestCORS(t *testing.T) {
	replica := server(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://replica.example")
		w.WriteHeader(http.StatusNotFound)
	})
	for name, test := range map[string]struct {
		cors, method string
		replicas     []Replica
		status       int
		allowed      []string
	}{
		"a replica's response": {"*", "POST", []Replica{replica}, 404, []string{"*"}},
		"the gateway's error":  {"*", "POST", nil, 503, []string{"*"}},
		"a preflight":          {"*", "OPTIONS", nil, 204, []string{"*"}},
		"left to the replicas": {"none", "OPTIONS", []Replica{replica}, 404, []string{"https://replica.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, func(c *Config) { c.CORS = test.cors }, test.replicas...)
			req, _ := http.NewRequest(test.method, f.url+"/predict", nil)
			req.Header.Set("Origin", "https://app.example")
			req.Header.Set("Access-Control-Request-Method", "POST")
			got := f.do(req)
			if allowed := got.header["Access-Control-Allow-Origin"]; got.status != test.status || fmt.Sprint(allowed) != fmt.Sprint(test.allowed) {
				t.Errorf("%d, allowed %v", got.status, allowed)
			}
		})
	}
}

func TestHTTP2(t *testing.T) {
	transport := testenv.HTTP2()
	defer transport.CloseIdleConnections()
	serve := func(change func(*Config)) *fixture {
		f := start(t, change, server(t, "a", echo(new(atomic.Int64))))
		f.client = &http.Client{Transport: transport, Timeout: testTimeout}
		return f
	}
	f := serve(nil)
	if got := f.post("/predict", strings.Repeat("x", 1<<20)); got.status != 200 || len(got.body) != 1<<20 {
		t.Errorf("%d, %d bytes, %v", got.status, len(got.body), got.err)
	}
	hasty := serve(func(c *Config) { c.BodyTimeout = 300 * time.Millisecond })
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = io.WriteString(w, "half") }()
	req, _ := http.NewRequest(http.MethodPost, hasty.url+"/predict", r)
	if got := hasty.do(req); got.status != 408 || got.apiError(t).Code != apierror.BodyTimeout {
		t.Errorf("%+v", got)
	}
	if got := hasty.get("/predict"); got.status != 200 { // on the same connection
		t.Errorf("%+v", got)
	}
}

// TestHTTP2DisconnectIsNotABadRequest: the read error is not a net.Error there.
func TestHTTP2DisconnectIsNotABadRequest(t *testing.T) {
	for name, c := range map[string]struct{ sent, replica string }{
		"before a replica is chosen": {"x", "none"},
		"while a replica reads":      {strings.Repeat("x", firstBytes), "a"},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, nil, server(t, "a", echo(new(atomic.Int64))))
			transport := testenv.HTTP2()
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: testTimeout}
			r, w := io.Pipe()
			defer w.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"/predict", r)
			done := make(chan error, 1)
			go func() {
				res, err := client.Do(req)
				if err == nil {
					_ = res.Body.Close()
				}
				done <- err
			}()
			_, _ = io.WriteString(w, c.sent)
			until(t, "the body to be on its way", func() bool {
				return f.admission.Requests() == 1 && (c.replica == "none" || f.balancer.InFlight(c.replica) == 1)
			})
			cancel()
			if err := wait(t, "the client", done); err == nil {
				t.Error("it got a response")
			}
			series := `fovea_gateway_requests_total{replica="` + c.replica + `",status="499"}`
			until(t, series, func() bool { return f.metric(t, series) == "1" })
		})
	}
}

// TestAmbiguousRequestsReachNoReplica: a smuggled request could be taken for another client's.
func TestAmbiguousRequestsReachNoReplica(t *testing.T) {
	var hits atomic.Int64
	f := start(t, nil, server(t, "a", echo(&hits)))
	for name, head := range map[string]string{
		"a length and chunks": "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
		"chunks of HTTP/1.0":  "POST /predict HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n",
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(testTimeout))
		_, _ = io.WriteString(c, head+"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
		answer, _ := io.ReadAll(c) // what came before a reset is enough
		_ = c.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") || strings.Count(string(answer), "HTTP/1.1") != 1 || hits.Load() != 0 {
			t.Errorf("%s: %d requests at the replica, answered %q", name, hits.Load(), answer)
		}
	}
}
