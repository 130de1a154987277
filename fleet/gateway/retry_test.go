package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fovea/internal/admission"
	"fovea/internal/apierror"
)

// What happens to a request whose first backend misbehaves while others are ready.
func TestRetry(t *testing.T) {
	big := strings.Repeat("image ", 100_000)
	huge := strings.Repeat("x", 3<<20) // more than is kept here
	serves := func(after func(net.Conn, *bufio.Reader)) func(*testing.T, string) Replica {
		return func(t *testing.T, id string) Replica { return raw(t, id, after) }
	}
	whole := func(then string) func(*testing.T, string) Replica {
		return serves(func(c net.Conn, r *bufio.Reader) {
			if _, err := readRequest(r); err == nil {
				_, _ = io.WriteString(c, then)
			}
		})
	}
	waits := serves(func(_ net.Conn, r *bufio.Reader) {
		_, _ = readRequest(r)
		_, _ = r.ReadByte() // until the gateway hangs up
	})
	answer := func(status string) string { return "HTTP/1.1 " + status + "\r\nContent-Length: 4\r\n\r\nlate" }
	for name, c := range map[string]struct {
		first  func(t *testing.T, id string) Replica
		body   string
		others int
		status int // 0: cut off
		code   apierror.Code
		tried  int64 // requests that the others get
		reason string
	}{
		"refused":                                {refuses, big, 1, 200, "", 1, "dial"},
		"refused, and the body is not kept":      {refuses, huge, 1, 200, "", 1, "dial"},
		"closed after the headers":               {serves(func(_ net.Conn, r *bufio.Reader) { _, _ = r.Peek(100) }), big, 2, 200, "", 1, "lost"},
		"closed within the body":                 {serves(func(_ net.Conn, r *bufio.Reader) { _, _ = io.CopyN(io.Discard, r, 300_000) }), big, 2, 200, "", 1, "lost"},
		"closed within a body that is not kept":  {serves(func(_ net.Conn, r *bufio.Reader) { _, _ = io.CopyN(io.Discard, r, 3_000_000) }), huge, 1, 502, apierror.ReplicaLost, 0, "lost"},
		"closed after the body":                  {whole(""), "image", 2, 200, "", 1, "lost"},
		"closed after the body, one other":       {whole(""), "image", 1, 502, apierror.ReplicaLost, 0, "lost"},
		"closed after the body, no other":        {whole(""), "image", 0, 502, apierror.ReplicaLost, 0, "lost"},
		"closed after a large body":              {whole(""), big, 2, 200, "", 1, "lost"},
		"closed within the response's headers":   {whole("HTTP/1.1 200 OK\r\nContent-"), "image", 2, 200, "", 1, "lost"},
		"closed within the response":             {whole("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), "image", 2, 0, "", 0, "cut"},
		"not HTTP":                               {whole("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "image", 2, 200, "", 1, "lost"},
		"1 MB of headers":                        {whole("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), "image", 2, 200, "", 1, "lost"},
		"draining":                               {whole(answer("503 Service Unavailable")), big, 1, 200, "", 1, "unavailable"},
		"draining, no other":                     {whole(answer("503 Service Unavailable")), big, 0, 503, "", 0, "unavailable"},
		"draining before the body is read":       {serves(early(answer("503 Service Unavailable"))), big, 1, 200, "", 1, "unavailable"},
		"502 from a proxy in between":            {whole(answer("502 Bad Gateway")), "image", 1, 200, "", 1, "unavailable"},
		"no response in time":                    {waits, big, 1, 200, "", 1, "timeout"},
		"no response in time, no other":          {waits, "image", 0, 504, apierror.DeadlineExceeded, 0, "timeout"},
		"no response in time, body not kept":     {waits, huge, 1, 504, apierror.DeadlineExceeded, 0, "timeout"},
		"429 is a response":                      {whole(answer("429 Too Many Requests")), "image", 1, 429, "", 0, ""},
		"500 is a response":                      {whole(answer("500 Internal Server Error")), "image", 1, 500, "", 0, ""},
		"504 is a response":                      {whole(answer("504 Gateway Timeout")), "image", 1, 504, "", 0, ""},
		"a body of unknown length, and draining": {whole(answer("503 Service Unavailable")), "?" + big, 1, 200, "", 1, "unavailable"},
		"a body of unknown length, closed in it": {serves(func(_ net.Conn, r *bufio.Reader) { _, _ = io.CopyN(io.Discard, r, 300_000) }), "?" + big, 2, 200, "", 1, "lost"},
		"a body of unknown length, closed after": {whole(""), "?" + big, 2, 200, "", 1, "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var hits atomic.Int64
			replicas := []Replica{c.first(t, "first")}
			for i := range c.others {
				replicas = append(replicas, server(t, "other"+itoa(i), echo(&hits)))
			}
			f := start(t, func(config *Config) {
				if config.ReplayMemory = 8 << 20; c.reason == "timeout" {
					config.ResponseTimeout = 2 * time.Second // time enough for the others
				}
			}, replicas...)
			f.retrier.spareTimeout = 50 * time.Millisecond
			req, _ := http.NewRequest(http.MethodPost, f.url+"/predict", strings.NewReader(c.body))
			if c.body[0] == '?' {
				req.ContentLength = -1
			}
			got := f.do(req)
			switch {
			case c.status == 0:
				if got.err == nil {
					t.Errorf("a partial response was taken for a complete one: %+v", got)
				}
			case got.err != nil || got.status != c.status:
				t.Fatalf("%d %.100s %v, want %d", got.status, got.body, got.err, c.status)
			case c.status == 200 && got.body != c.body:
				t.Errorf("the other got %d bytes of %d", len(got.body), len(c.body))
			case c.code != "" && got.apiError(t).Code != c.code:
				t.Errorf("code %s, want %s", got.apiError(t).Code, c.code)
			}
			if hits.Load() != c.tried {
				t.Errorf("the others got %d requests, want %d", hits.Load(), c.tried)
			}
			for _, reason := range reasons {
				want := map[bool]string{true: "1", false: "0"}[string(reason) == c.reason]
				series := `fovea_gateway_upstream_errors_total{reason="` + string(reason) + `"}`
				until(t, series, func() bool { return f.metric(t, series) == want })
			}
			if used := f.retrier.memory.used.Load(); used != 0 {
				t.Errorf("%d bytes of bodies are still kept", used)
			}
		})
	}
}

func refuses(t *testing.T, id string) Replica { return goneReplica(t, id) }

// early responds before it reads the body.
func early(answer string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, answer)
		_, _ = io.Copy(io.Discard, r)
	}
}

// A request that may have run is retried once, and only if it may run twice.
func TestRetriesAreLimited(t *testing.T) {
	unready := func(t *testing.T, id string) Replica {
		return raw(t, id, func(c net.Conn, r *bufio.Reader) {
			if _, err := readRequest(r); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
			}
		})
	}
	for name, c := range map[string]struct {
		method string
		before []func(t *testing.T, id string) Replica // a good one
		status int
	}{
		"once":                           {http.MethodPost, []func(*testing.T, string) Replica{unready}, 200},
		"not twice":                      {http.MethodPost, []func(*testing.T, string) Replica{unready, unready}, 503},
		"refused connections are free":   {http.MethodPost, []func(*testing.T, string) Replica{refuses, refuses, unready}, 200},
		"GET":                            {http.MethodGet, []func(*testing.T, string) Replica{unready}, 200},
		"no DELETE":                      {http.MethodDelete, []func(*testing.T, string) Replica{unready}, 503},
		"DELETE on a refused connection": {http.MethodDelete, []func(*testing.T, string) Replica{refuses}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			var replicas []Replica
			for i, replica := range c.before {
				replicas = append(replicas, replica(t, itoa(i)))
			}
			var hits atomic.Int64
			f := start(t, nil, append(replicas, server(t, "good", echo(&hits)))...)
			req, _ := http.NewRequest(c.method, f.url+"/predict", strings.NewReader("image"))
			if got := f.do(req); got.status != c.status || (hits.Load() == 1) != (c.status == 200) {
				t.Errorf("%d %s, %d requests at the good one", got.status, got.body, hits.Load())
			}
		})
	}
}

// net/http sends no request with a line break in a header, to any backend.
func TestRequestThatCannotBeSentIsNotRetried(t *testing.T) {
	var hits atomic.Int64
	f := start(t, nil, server(t, "a", echo(&hits)), server(t, "b", echo(&hits)))
	rc := &requestContext{}
	req, err := http.NewRequestWithContext(context.WithValue(t.Context(), requestContextKey{}, rc), http.MethodPost, f.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header["X"] = []string{"\n"}
	res, err := f.retrier.RoundTrip(req)
	if err == nil {
		_ = res.Body.Close()
	}
	if apierror.From(err).Code != apierror.Malformed || rc.retried || hits.Load() != 0 {
		t.Errorf("%v; retried: %t; the replicas got %d", err, rc.retried, hits.Load())
	}
	f.balancer.release(rc.backend)
}

func TestNoBackendReachable(t *testing.T) {
	for name, replicas := range map[string]func(t *testing.T) []Replica{
		"no replica":        func(*testing.T) []Replica { return nil },
		"one that is gone":  func(t *testing.T) []Replica { return []Replica{goneReplica(t, "a")} },
		"two that are gone": func(t *testing.T) []Replica { return []Replica{goneReplica(t, "a"), goneReplica(t, "b")} },
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, nil, replicas(t)...)
			got := f.post("/predict", "image")
			if got.status != 503 || got.apiError(t).Code != apierror.NotReady || got.header.Get("Retry-After") != "1" {
				t.Errorf("%d %s %v", got.status, got.body, got.header)
			}
		})
	}
}

// Three of four are gone: no request fails, although those that are gone have the fewest in flight.
func TestGoneBackendsAttractNoRequests(t *testing.T) {
	var hits atomic.Int64
	f := start(t, nil, goneReplica(t, "a"), goneReplica(t, "b"), goneReplica(t, "c"), server(t, "d", echo(&hits)))
	for f.metric(t, `fovea_gateway_replicas{state="cooldown"}`) != "3" {
		f.post("/predict", "image") // may hit two that are gone
	}
	for range 30 {
		if got := f.post("/predict", "image"); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
}

// deaf hides from net/http that the replica closed the connection, as when its reading goroutine has not run yet.
type deaf struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func (d *deaf) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	if err != nil {
		<-d.closed
	}
	return n, err
}

func (d *deaf) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.Conn.Close()
}

func TestStaleConnection(t *testing.T) {
	for name, body := range map[string]string{
		"no body":                        "",
		"a body that fits one write":     "image",
		"a body that takes many writes":  strings.Repeat("image ", 100_000),
		"a body as large as one buffer":  strings.Repeat("x", 4096),
		"a body of unknown length":       "?" + strings.Repeat("image ", 1000),
		"a body that comes byte by byte": "+image",
	} {
		for _, alone := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", no other replica", false: ""}[alone], func(t *testing.T) {
				testStale(t, body, alone)
			})
		}
	}
}

func testStale(t *testing.T, body string, alone bool) {
	var conns, hits atomic.Int64
	closed := make(chan struct{})
	// Responds once on the first connection, closes it, and then behaves.
	first := raw(t, "first", func(c net.Conn, r *bufio.Reader) {
		n := conns.Add(1)
		for {
			got, err := readRequest(r)
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: "+itoa(len(got))+"\r\n\r\n"+got)
			if n == 1 {
				_ = c.Close()
				close(closed)
				return
			}
		}
	})
	replicas := []Replica{first, server(t, "second", echo(&hits))}
	if alone {
		replicas = replicas[:1]
	}
	f := start(t, nil, replicas...)
	dial, kept := f.upstream.DialContext, make(chan *conn, 10)
	f.upstream.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		if c, ok := nc.(*conn); ok && "http://"+addr == first.URL {
			if len(kept) == 0 {
				c.Conn = &deaf{Conn: c.Conn, closed: make(chan struct{})}
			}
			kept <- c
		}
		return nc, err
	}
	if got := f.post("/predict", "warm"); got.status != 200 {
		t.Fatalf("%+v", got)
	}
	wait(t, "the replica to close", closed)
	c := <-kept
	until(t, "the end to arrive", func() bool { return !c.open() })
	kept <- c
	if !alone {
		f.balancer.release(f.balancer.acquire()) // the second's turn
	}
	req, _ := http.NewRequest(http.MethodPost, f.url+"/predict", strings.NewReader(body))
	switch {
	case strings.HasPrefix(body, "?"):
		req.ContentLength = -1
	case strings.HasPrefix(body, "+"):
		req.Body = io.NopCloser(slowly(body))
	}
	got := f.do(req)
	if got.status != 200 || got.body != body {
		t.Fatalf("%d, %d bytes of %d: %.100s", got.status, len(got.body), len(body), got.body)
	}
	if body == "" {
		return // without a body net/http itself retries on another connection
	}
	if retries := f.metric(t, "fovea_gateway_retries_total"); retries != "1" {
		t.Errorf("%s retries, want 1", retries)
	}
	if !alone && hits.Load() != 1 {
		t.Errorf("the other got %d requests", hits.Load())
	}
}

// slowly returns a reader that yields a text byte by byte.
func slowly(text string) io.Reader {
	r, w := io.Pipe()
	go func() {
		for i := range len(text) {
			_, _ = io.WriteString(w, text[i:i+1])
			time.Sleep(time.Millisecond)
		}
		_ = w.Close()
	}()
	return r
}

// A read in progress for a failed attempt loses nothing.
func TestBodyMovesToTheNextAttempt(t *testing.T) {
	r, w := io.Pipe()
	b := newBody(r, -1, nil, &budget{})
	first := &stream{body: b}
	buf := make([]byte, 10)
	go func() { _, _ = io.WriteString(w, "abc") }()
	if n, err := first.Read(buf); err != nil || string(buf[:n]) != "abc" {
		t.Fatalf("%q %v", buf[:n], err)
	}
	pending := make(chan struct{})
	go func() {
		defer close(pending)
		_, _ = first.Read(make([]byte, 10))
	}()
	until(t, "the read to begin", func() bool {
		if b.reading.TryLock() {
			b.reading.Unlock()
			return false
		}
		return true
	})
	_ = first.Close()
	go func() {
		_, _ = io.WriteString(w, "def")
		_, _ = io.WriteString(w, "ghi")
		_ = w.Close()
	}()
	wait(t, "the pending read", pending)
	got, err := io.ReadAll(&stream{body: b})
	if err != nil || string(got) != "abcdefghi" {
		t.Errorf("the second attempt read %q, %v", got, err)
	}
	if _, err := first.Read(buf); err == nil {
		t.Error("an attempt that is over kept reading")
	}
}

// The watch may find a backend unresponsive just as its response begins: the attempt has ended, and its response is not used.
func TestAttemptEndedAsItsResponseBegins(t *testing.T) {
	replica := server(t, "a", echo(new(atomic.Int64)))
	transport := transport(Defaults())
	defer transport.CloseIdleConnections()
	for range 50 {
		balancer := newBalancer(time.Now, func(string) {})
		setReplicas(t, balancer, replica)
		try := &attempt{balancer: balancer, backend: balancer.acquire()}
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotFirstResponseByte: func() { try.cancel(errUnresponsive) }})
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gateway/predict", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := try.send(transport, req)
		why := try.outcome(res, err)
		if res != nil {
			_ = res.Body.Close()
		}
		if why != unresponsive {
			t.Fatalf("outcome %q, %v", why, err)
		}
	}
}

// deadlines notes the read deadlines that are set.
type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

// SetReadDeadline is what http.ResponseController calls.
func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// Once the body has arrived, net/http reads the connection to notice a disconnect. A deadline that expires then cancels the
// connection's next request.
func TestNoReadIsInterruptedAfterTheBody(t *testing.T) {
	w := &deadlines{}
	rc := &requestContext{body: newBody(http.NoBody, 0, nil, &budget{})}
	var err error
	rc.admitted, err = admission.New(Defaults().admissionLimits()).Admit("192.0.2.1:1", strings.NewReader("image"), 5, time.Minute, http.NewResponseController(w), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.admitted.Release()
	if _, err := io.Copy(io.Discard, rc.admitted); err != nil || !rc.admitted.Arrived() {
		t.Fatalf("the body has not arrived: %v", err)
	}
	rc.body.reading.Lock() // by a reader that has yet to return
	time.AfterFunc(20*time.Millisecond, rc.body.reading.Unlock)
	rc.seal(w)
	if slices.ContainsFunc(w.set, func(d time.Time) bool { return !d.IsZero() && d.Before(time.Now()) }) {
		t.Errorf("deadlines %v", w.set)
	}
}
