package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fovea/internal/admission"
	"fovea/internal/apierror"
)

// holding is a replica that holds its responses back.
func holding(t testing.TB, id string) (r Replica, arrived chan struct{}, let func()) {
	t.Helper()
	gate := make(chan struct{})
	arrived = make(chan struct{}, 1000)
	r = server(t, id, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		select {
		case <-gate:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, id)
	})
	let = func() { close(gate) }
	return r, arrived, let
}

func (f *fixture) background(n int) chan reply {
	replies := make(chan reply, n)
	for range n {
		go func() { replies <- f.post("/predict", "image") }()
	}
	return replies
}

func TestAdmissionLimits(t *testing.T) {
	got := Config{MaxRequests: 8, ClientShare: 0.5, MinBodyRate: 100}.admissionLimits()
	if want := (admission.Limits{Requests: 8, ClientShare: 0.5, MinRate: 100}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestMaxRequests(t *testing.T) {
	r, arrived, let := holding(t, "a")
	f := start(t, func(c *Config) { c.MaxRequests = 2 }, r)
	replies := f.background(2)
	for range 2 {
		wait(t, "a request at the replica", arrived)
	}
	got := f.post("/predict", "image")
	if got.status != 503 || got.apiError(t).Code != apierror.GatewayBusy || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := f.get("/health"); got.status != 200 {
		t.Errorf("/health is not the gateway's own: %+v", got)
	}
	let()
	for range 2 {
		if got := wait(t, "an answer", replies); got.status != 200 {
			t.Errorf("%+v", got)
		}
	}
	if got := f.post("/predict", "image"); got.status != 200 {
		t.Errorf("admissions were not released: %+v", got)
	}
}

func TestDisconnectFreesTheBackend(t *testing.T) {
	for name, body := range map[string]string{"while it waits": "image", "without a body": ""} {
		t.Run(name, func(t *testing.T) {
			gone := make(chan struct{})
			arrived := make(chan struct{})
			f := start(t, nil, server(t, "a", func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				close(arrived)
				<-r.Context().Done()
				close(gone)
			}))
			ctx, cancel := context.WithCancel(context.Background())
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"/predict", strings.NewReader(body))
			done := make(chan reply, 1)
			go func() { done <- f.do(req) }()
			wait(t, "the request at the replica", arrived)
			cancel()
			wait(t, "the replica to notice", gone)
			wait(t, "the client", done)
			until(t, "the backend to be released", func() bool { return f.balancer.InFlight("a") == 0 })
			if n := f.metric(t, `fovea_gateway_requests_total{replica="a",status="499"}`); n != "1" {
				t.Errorf("%s requests counted with 499", n)
			}
			if n := f.metric(t, `fovea_gateway_upstream_errors_total{reason="lost"}`); n != "0" {
				t.Error("the replica was blamed")
			}
		})
	}
}

func TestDisconnectWithinTheResponseIsTheClients(t *testing.T) {
	f := start(t, nil, server(t, "a", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"/predict", http.NoBody)
	res, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	cancel()
	series := `fovea_gateway_requests_total{replica="a",status="499"}`
	until(t, series, func() bool { return f.metric(t, series) == "1" })
	if n := f.metric(t, `fovea_gateway_upstream_errors_total{reason="cut"}`); n != "0" {
		t.Errorf("%s responses are said to be cut by the replica", n)
	}
}

// Bodies that fail on their way to a backend.
func TestIncompleteBodies(t *testing.T) {
	half := strings.Repeat("x", firstBytes) // after which a backend is chosen
	for name, c := range map[string]struct {
		request string
		hangsUp bool
		status  int // 0: no response
		code    apierror.Code
		metric  string
	}{
		"too slow":       {"Content-Length: 1000\r\n\r\n" + half, false, 408, apierror.BodyTimeout, "408"},
		"cut":            {"Content-Length: 1000\r\n\r\n" + half, true, 0, "", "499"},
		"broken chunks":  {"Transfer-Encoding: chunked\r\n\r\n200\r\n" + half + "\r\nzz\r\n", false, 400, apierror.Malformed, "400"},
		"chunks are cut": {"Transfer-Encoding: chunked\r\n\r\n200\r\n" + half + "\r\n", true, 0, "", "499"},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, func(cfg *Config) {
				if c.status == 408 {
					cfg.BodyTimeout = 300 * time.Millisecond
				}
			}, server(t, "a", func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err == nil {
					t.Error("the replica took the body for complete")
				}
			}))
			conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "POST /predict HTTP/1.1\r\nHost: x\r\n"+c.request)
			if c.hangsUp {
				until(t, "the request to be forwarded", func() bool { return f.balancer.InFlight("a") == 1 })
				_ = conn.Close()
			} else {
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatalf("%v; log: %s", err, f.log)
				}
				text, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				got := reply{res.StatusCode, res.Header, string(text), nil}
				if got.status != c.status || got.apiError(t).Code != c.code {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
			series := `fovea_gateway_requests_total{replica="a",status="` + c.metric + `"}`
			until(t, series, func() bool { return f.metric(t, series) == "1" })
		})
	}
}

func TestHeadersTooLarge(t *testing.T) {
	var hits atomic.Int64
	f := start(t, nil, server(t, "a", echo(&hits)))
	req, _ := http.NewRequest(http.MethodGet, f.url+"/v1/models", nil)
	req.Header.Set("X-Large", strings.Repeat("x", 200<<10))
	if got := f.do(req); got.status != 431 || hits.Load() != 0 {
		t.Errorf("%+v", got)
	}
}

// Replicas are drained and replaced one after the other while clients never pause.
func TestDrainUnderLoadLosesNothing(t *testing.T) {
	var served [2]atomic.Int64 // by replicas after they were drained, and before
	replica := func(id string) (Replica, *atomic.Bool) {
		var drained atomic.Bool
		return server(t, id, func(w http.ResponseWriter, r *http.Request) {
			if drained.Load() && r.URL.Path == "/predict" { // the gateway may still probe it
				served[0].Add(1)
			}
			_, _ = io.Copy(io.Discard, r.Body)
			time.Sleep(2 * time.Millisecond)
			served[1].Add(1)
			_, _ = io.WriteString(w, id)
		}), &drained
	}
	a, aDrained := replica("0")
	b, _ := replica("1")
	f := start(t, nil, a, b)
	stop, failed, results := make(chan struct{}), atomic.Int64{}, make(chan struct{})
	const clients = 8
	for range clients {
		go func() {
			defer func() { results <- struct{}{} }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := f.post("/predict", "image"); got.status != 200 || got.err != nil {
					failed.Add(1)
					t.Errorf("%+v", got)
				}
			}
		}()
	}
	oldest, drained := a, aDrained
	others := []Replica{b}
	flags := []*atomic.Bool{new(atomic.Bool)}
	for i := range 20 {
		next, flag := replica(itoa(i + 2))
		setReplicas(t, f.balancer, append([]Replica{oldest, next}, others...)...)
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		if err := f.balancer.Drain(ctx, oldest.ID); err != nil {
			t.Error(err)
		}
		cancel()
		drained.Store(true)
		others, flags = append(others, next), append(flags, flag)
		setReplicas(t, f.balancer, others...)
		oldest, drained = others[0], flags[0]
		others, flags = others[1:], flags[1:]
		before := served[1].Load()
		until(t, "requests to be served", func() bool { return served[1].Load() >= before+5 })
	}
	close(stop)
	for range clients {
		wait(t, "a client", results)
	}
	if failed.Load() != 0 || served[0].Load() != 0 || served[1].Load() < 100 {
		t.Errorf("%d failed, %d reached a drained replica, %d answered", failed.Load(), served[0].Load(), served[1].Load())
	}
}

func TestShutdownFinishesRequests(t *testing.T) {
	r, arrived, let := holding(t, "a")
	f := start(t, nil, r)
	replies := f.background(1)
	wait(t, "the request at the replica", arrived)
	f.Drain()
	if got := f.get("/ready"); got.status != 503 || !strings.Contains(got.body, `"draining"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	done := make(chan error, 1)
	go func() { done <- f.Shutdown(context.Background()) }()
	until(t, "the listener to close", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	let()
	if got := wait(t, "the answer", replies); got.status != 200 {
		t.Errorf("%+v", got)
	}
	if err := wait(t, "the shutdown", done); err != nil {
		t.Error(err)
	}
}
