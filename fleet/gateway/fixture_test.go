package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/config"
	"fovea/internal/testenv"
	"fovea/internal/tracing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(cleaning{m}) }

// cleaning removes what the tests have built when they are over.
type cleaning struct{ *testing.M }

// Run implements goleak.TestingM.
func (m cleaning) Run() int {
	code := m.M.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	return code
}

// testTimeout bounds every wait of a test.
const testTimeout = 20 * time.Second

// patient returns the default configuration with limits that no replica reaches because the machine is busy. A test of a limit
// sets it.
func patient() Config {
	cfg := Defaults()
	cfg.DialTimeout, cfg.UnresponsiveAfter = testTimeout, testTimeout
	return cfg
}

// fixture is a gateway on a real socket.
type fixture struct {
	*Gateway
	url    string
	client *http.Client
	log    *testenv.Buffer
}

func start(t testing.TB, change func(*Config), replicas ...Replica) *fixture {
	t.Helper()
	return startTraced(t, nil, change, replicas...)
}

// startTraced starts a gateway whose requests are traced, unless tracer is nil.
func startTraced(t testing.TB, tracer *tracing.Tracer, change func(*Config), replicas ...Replica) *fixture {
	t.Helper()
	cfg := patient()
	if change != nil {
		change(&cfg)
	}
	if err := config.Check(cfg); err != nil {
		t.Fatal(err)
	}
	log := &testenv.Buffer{}
	g, err := New(cfg, slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	g.Trace(tracer)
	if err := g.Balancer().Set(replicas); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	client := &http.Client{Timeout: testTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true, ExpectContinueTimeout: testTimeout}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := g.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		panicked(t, log)
	})
	return &fixture{g, "http://" + l.Addr().String(), client, log}
}

// panicked fails a test if net/http has recovered a panic of a handler, or its own for one that misuses a connection.
func panicked(t testing.TB, log *testenv.Buffer) {
	t.Helper()
	if _, found, ok := strings.Cut(log.String(), "panic serving"); ok {
		t.Errorf("a handler panicked: %.3000s", found)
	}
}

// reply is a complete response.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of the request or of reading the response
}

func (r reply) apiError(t *testing.T) (e apierror.Body) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &e); err != nil {
		t.Fatalf("response %d %q is not an error in JSON: %v", r.status, r.body, err)
	}
	if e.Error == "" || e.RequestID == "" || e.RequestID != r.header.Get(requestIDHeader) {
		t.Errorf("error %+v: no message, or an ID other than the header's %q", e, r.header.Get(requestIDHeader))
	}
	return e
}

func (f *fixture) post(path, body string) reply {
	req, err := http.NewRequest(http.MethodPost, f.url+path, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	return f.do(req)
}

func (f *fixture) get(path string) reply {
	req, err := http.NewRequest(http.MethodGet, f.url+path, nil)
	if err != nil {
		return reply{err: err}
	}
	return f.do(req)
}

func (f *fixture) do(req *http.Request) reply {
	res, err := f.client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(text), err}
}

// metric reads a series from /metrics; "" if it is absent.
func (f *fixture) metric(t *testing.T, series string) string {
	t.Helper()
	for line := range strings.Lines(f.get("/metrics").body) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// until polls until a condition holds.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(testTimeout); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timed out after %s: %s", testTimeout, what)
		}
	}
}

func wait[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(testTimeout):
		t.Fatalf("timed out after %s: %s", testTimeout, what)
	}
	panic("unreachable")
}

// server is a replica that behaves: a real HTTP server.
func server(t testing.TB, id string, handle http.HandlerFunc) Replica {
	t.Helper()
	errors := &testenv.Buffer{}
	s := httptest.NewUnstartedServer(handle)
	s.Config.ErrorLog = log.New(errors, "", 0)
	s.Start()
	t.Cleanup(func() {
		s.Close()
		panicked(t, errors)
	})
	return Replica{ID: id, URL: s.URL}
}

// echo responds with the request's body, and counts requests.
func echo(hits *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		_, _ = w.Write(body)
	}
}

// raw is a replica that may misbehave: each connection is passed to serve, then closed.
func raw(t testing.TB, id string, serve func(c net.Conn, r *bufio.Reader)) Replica {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				serve(c, bufio.NewReader(c))
				mu.Lock()
				delete(open, c)
				mu.Unlock()
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return Replica{ID: id, URL: "http://" + l.Addr().String()}
}

// goneReplica refuses connections. Its port stays bound, so that no other process can listen there.
func goneReplica(t testing.TB, id string) Replica {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	addr, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	bound, ok := addr.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("bound to %T", addr)
	}
	return Replica{ID: id, URL: "http://127.0.0.1:" + itoa(bound.Port)}
}

// stopClock makes cooldowns last for the rest of the test.
func (f *fixture) stopClock() {
	now := time.Now()
	f.balancer.mu.Lock()
	defer f.balancer.mu.Unlock()
	f.balancer.now = func() time.Time { return now }
}

// readRequest reads a request and returns its body.
func readRequest(r *bufio.Reader) (string, error) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(req.Body)
	return string(body), err
}
