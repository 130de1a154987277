package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fovea/internal/testenv"
)

// lateRequest is the rest of a body that arrives too late: it looks like a request.
const lateRequest = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

// unread is a request with an early response.
type unread struct {
	line, headers, body string
	status              int
	replica             func(t *testing.T) Replica // nil: none
	change              func(*Config)
	before, meanwhile   func(t *testing.T, f *fixture)
}

// A response that comes before the whole body closes the connection. Otherwise net/http would reuse it after waiting for the
// rest of the body, and take what arrives then for a request, which the client may have smuggled past a proxy.
func TestRestOfABodyIsNotARequest(t *testing.T) {
	const length, chunked = "Content-Length: 2000\r\n", "Transfer-Encoding: chunked\r\n"
	some := strings.Repeat("x", firstBytes) // after which a backend is chosen
	chunks := "200\r\n" + some + "\r\n"
	held, _, let := holding(t, "a")
	hasty := func(c *Config) { c.BodyTimeout = 100 * time.Millisecond }
	single := func(c *Config) { c.MaxRequests, c.BodyTimeout = 1, time.Second }
	for name, c := range map[string]unread{
		"no replica is ready":          {line: "POST /predict", headers: length, body: some, status: 503},
		"no replica is ready, chunks":  {line: "POST /predict", headers: chunked, body: chunks, status: 503},
		"no replica can be reached":    {line: "POST /predict", headers: length, body: some, status: 503, replica: func(t *testing.T) Replica { return goneReplica(t, "a") }},
		"the replica refuses":          {line: "POST /predict", headers: length, body: some, status: 413, replica: answering("413 No\r\nContent-Length: 0")},
		"the replica refuses, chunks":  {line: "POST /predict", headers: chunked, body: chunks, status: 413, replica: answering("413 No\r\nContent-Length: 0")},
		"the replica sends no content": {line: "POST /predict", headers: length, body: some, status: 204, replica: answering("204 No Content")},
		"a GET with a body":            {line: "GET /v1/models", headers: length, body: some, status: 200, replica: answering("200 OK\r\nContent-Length: 0")},
		"no 100 Continue":              {line: "POST /predict", headers: length + "Expect: 100-continue\r\n", status: 413, replica: answering("413 No\r\nContent-Length: 0")},
		"the first bytes are late":     {line: "POST /predict", headers: length, body: "x", status: 408, change: hasty},
		"the rest is late":             {line: "POST /predict", headers: length, body: some, status: 408, change: hasty, replica: reading},
		"the first chunk is invalid":   {line: "POST /predict", headers: chunked, body: "zz\r\n", status: 400},
		"a later chunk is invalid":     {line: "POST /predict", headers: chunked, body: chunks + "zz\r\n", status: 400, replica: reading},
		"another needs its admission": {line: "POST /predict", headers: length, body: "x", status: 429, replica: reading, change: single, meanwhile: func(t *testing.T, f *fixture) {
			until(t, "the request to be there", func() bool { return f.admission.Requests() == 1 })
			if got := f.post("/predict", "image"); got.status != 200 {
				t.Errorf("the other: %+v", got)
			}
		}},
		"the limit is reached": {line: "POST /predict", headers: length, body: "x", status: 503, change: single, replica: func(*testing.T) Replica { return held }, before: func(t *testing.T, f *fixture) {
			t.Cleanup(let)
			f.background(1)
			until(t, "the other to be at the replica", func() bool { return f.balancer.InFlight("a") == 1 })
		}},
		"not a route":                   {line: "OPTIONS *", headers: length, body: some, status: 405},
		"a tunnel":                      {line: "CONNECT x:1", headers: length, body: some, status: 405},
		"the gateway's own route":       {line: "GET /health", headers: length, body: "x", status: 200},
		"the gateway's own route, POST": {line: "POST /ready", headers: chunked, body: chunks, status: 405},
		"a preflight":                   {line: "OPTIONS /predict", headers: length + "Origin: http://y\r\nAccess-Control-Request-Method: POST\r\n", body: "x", status: 204, change: hasty},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.try(t)
		})
	}
}

// answering is a replica that responds before it reads the body.
func answering(text string) func(t *testing.T) Replica {
	return func(t *testing.T) Replica {
		return raw(t, "a", func(c net.Conn, r *bufio.Reader) {
			if req, err := http.ReadRequest(r); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 "+text+"\r\n\r\n")
				_, _ = io.Copy(io.Discard, req.Body)
			}
		})
	}
}

// reading is a replica that responds after it has read the body.
func reading(t *testing.T) Replica {
	return server(t, "a", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
}

func (u unread) try(t *testing.T) {
	var replicas []Replica
	if u.replica != nil {
		replicas = append(replicas, u.replica(t))
	}
	f := start(t, u.change, replicas...)
	if u.before != nil {
		u.before(t, f)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testTimeout))
	_, _ = io.WriteString(conn, u.line+" HTTP/1.1\r\nHost: x\r\n"+u.headers+"\r\n"+u.body)
	if u.meanwhile != nil {
		u.meanwhile(t, f)
	}
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	for err == nil && res.StatusCode == http.StatusContinue { // the replica may ask for the body first
		res, err = http.ReadResponse(r, nil)
	}
	if err != nil {
		t.Fatalf("no answer: %v; log: %s", err, f.log)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if res.StatusCode != u.status || !res.Close {
		t.Errorf("%d, Connection: close: %v; want %d and true; log: %s", res.StatusCode, res.Close, u.status, f.log)
	}
	time.Sleep(lingerTimeout + lingerTimeout/4) // after which the rest is no longer read
	_, _ = io.WriteString(conn, lateRequest)
	if more, _ := io.ReadAll(r); len(more) > 0 { // the error is that of a closed connection
		t.Errorf("the rest of the body was answered: %q", more)
	}
}

// Many clients send the whole body before they read the response, and must not meet a reset connection.
func TestClientThatSendsItsWholeBodyGetsTheEarlyResponse(t *testing.T) {
	const size = 8 << 20 // more than the sockets and net/http take
	for name, c := range map[string]struct {
		status  int
		replica func(t *testing.T) Replica // nil: none
	}{
		"no replica is ready": {503, nil},
		"the replica refuses": {413, answering("413 No\r\nContent-Length: 0")},
	} {
		t.Run(name, func(t *testing.T) {
			var replicas []Replica
			if c.replica != nil {
				replicas = append(replicas, c.replica(t))
			}
			f := start(t, nil, replicas...)
			f.lingerTimeout = testTimeout
			conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(testTimeout))
			_, err = io.WriteString(conn, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n"+strings.Repeat("x", size))
			if err != nil {
				t.Fatalf("sending: %v", err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != c.status {
				t.Errorf("answered %d", res.StatusCode)
			}
		})
	}
}

// Some clients lose the response if the HTTP/2 stream is reset after it.
func TestRejectedBodyIsReadToItsEndOverHTTP2(t *testing.T) {
	f := start(t, nil)
	f.lingerTimeout = testTimeout
	transport := testenv.HTTP2()
	defer transport.CloseIdleConnections()
	f.client = &http.Client{Transport: transport, Timeout: testTimeout}
	const size = 4 << 20 // more than a stream's window
	body := &counted{strings.NewReader(strings.Repeat("x", size)), new(atomic.Int64)}
	req, _ := http.NewRequest(http.MethodPost, f.url+"/predict", body)
	if got := f.do(req); got.status != 503 || body.n.Load() != size {
		t.Errorf("%d after %d of %d bytes, %v", got.status, body.n.Load(), size, got.err)
	}
}
