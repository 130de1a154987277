package gateway

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestOwnRoutes(t *testing.T) {
	var hits atomic.Int64
	a, b := server(t, "a", echo(&hits)), server(t, "b", echo(&hits))
	f := start(t, nil)
	for name, c := range map[string]struct {
		replicas      []Replica
		health, ready int
		status        string
	}{
		"no replica": {nil, 200, 503, "unready"},
		"two":        {[]Replica{a, b}, 200, 200, "ready"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := f.balancer.Set(c.replicas); err != nil {
				t.Fatal(err)
			}
			if got := f.get("/health"); got.status != c.health {
				t.Errorf("/health: %+v", got)
			}
			got := f.get("/ready")
			var r report
			if err := json.Unmarshal([]byte(got.body), &struct {
				Status  *string
				Reasons *[]string
			}{&r.Status, &r.Reasons}); err != nil {
				t.Fatal(err)
			}
			if got.status != c.ready || r.Status != c.status || (len(r.Reasons) == 0) != (c.ready == 200) {
				t.Errorf("/ready: %d %s", got.status, got.body)
			}
		})
	}
	for _, route := range []string{"/health", "/ready", "/metrics"} {
		if got := f.post(route, "x"); got.status != 405 || got.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %+v", route, got)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests for own routes were forwarded", hits.Load())
	}
	if err := f.balancer.Set([]Replica{a, b}); err != nil {
		t.Fatal(err)
	}
	for _, route := range []string{"/predict", "/openapi.json", "/v1/models", "/health/", "/", "/no/such"} {
		if got := f.post(route, route); got.status != 200 || got.body != route {
			t.Errorf("%s was not forwarded: %+v", route, got)
		}
	}
}

// Neither a draining replica nor a removed one with a request in flight makes the gateway ready.
func TestDrainingAndRemovedReplicasAreNotReady(t *testing.T) {
	end := make(chan struct{})
	a := server(t, "a", func(http.ResponseWriter, *http.Request) { <-end })
	f := start(t, nil, a)
	got := make(chan reply, 1)
	go func() { got <- f.post("/predict", "image") }()
	until(t, "a request in flight", func() bool { return f.balancer.InFlight("a") == 1 })
	if err := f.balancer.Set(nil); err != nil {
		t.Fatal(err)
	}
	if r := f.get("/ready"); r.status != 503 || !strings.Contains(r.body, `"removed"`) {
		t.Errorf("removed: %+v", r)
	}
	close(end)
	wait(t, "the response", got)
	if err := f.balancer.Set([]Replica{a}); err != nil {
		t.Fatal(err)
	}
	if err := f.balancer.Drain(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if r := f.get("/ready"); r.status != 503 || !strings.Contains(r.body, `"draining"`) {
		t.Errorf("draining: %+v", r)
	}
}

func TestNonRoutes(t *testing.T) {
	var hits atomic.Int64
	f := start(t, nil, server(t, "a", echo(&hits)))
	for _, line := range []string{"CONNECT example.com:443 HTTP/1.1", "OPTIONS * HTTP/1.1"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, line+"\r\nHost: example.com:443\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s", line, res.Status)
		}
		_ = c.Close()
	}
	if hits.Load() != 0 {
		t.Error("forwarded")
	}
}

// A request with another host's URL goes to a replica, too: the gateway connects to nothing else.
func TestOtherHostsAreNotReached(t *testing.T) {
	var hits, other atomic.Int64
	foreign := server(t, "x", echo(&other))
	f := start(t, nil, server(t, "a", echo(&hits)))
	c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET "+foreign.URL+"/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if _, err := io.ReadAll(c); err != nil || hits.Load() != 1 || other.Load() != 0 {
		t.Errorf("%v; the replica got %d, the other host %d", err, hits.Load(), other.Load())
	}
}

// Which responses count for or against a backend.
func TestOutcomes(t *testing.T) {
	for status, want := range map[int][2]int64{200: {1, 0}, 429: {0, 0}, 422: {0, 0}, 500: {0, 1}, 504: {0, 1}} {
		f := start(t, nil, server(t, "a", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		f.get("/v1/models") // not a prediction
		f.post("/predict", "image")
		until(t, "the requests to end", func() bool { return f.balancer.InFlight("a") == 0 })
		if s := f.balancer.Status()[0]; s.Good != want[0] || s.Bad != want[1] {
			t.Errorf("status %d: %+v, want %v", status, s, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	var hits atomic.Int64
	f := start(t, nil, server(t, "a", echo(&hits)), goneReplica(t, "b"))
	f.stopClock()
	for range 3 {
		f.post("/predict", "image")
	}
	for series, want := range map[string]string{
		`fovea_gateway_requests_total{replica="a",status="200"}`:    "3",
		`fovea_gateway_request_duration_seconds_count{replica="a"}`: "3",
		`fovea_gateway_retries_total`:                               "1",
		`fovea_gateway_upstream_errors_total{reason="dial"}`:        "1",
		`fovea_gateway_upstream_errors_total{reason="cut"}`:         "0",
		`fovea_gateway_in_flight{replica="a"}`:                      "0",
		`fovea_gateway_replicas{state="ready"}`:                     "1",
		`fovea_gateway_replicas{state="cooldown"}`:                  "1",
		`fovea_gateway_replicas{state="draining"}`:                  "0",
	} {
		until(t, series+" "+want, func() bool { return f.metric(t, series) == want })
	}
}

// The series of gone replicas are bounded.
func TestMetricsOfGoneReplicas(t *testing.T) {
	m := newMetrics()
	p := newBalancer(time.Now, nil)
	p.onGone = func(id string) { m.retire(id, p.known) }
	for i := range 3 * maxRetired {
		r := Replica{ID: itoa(i), URL: "http://h:1"}
		setReplicas(t, p, r)
		m.requests.WithLabelValues(r.ID, "200").Inc()
		m.duration.WithLabelValues(r.ID).Observe(1)
		setReplicas(t, p)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if name := family.GetName(); strings.Contains(name, "request") && len(family.GetMetric()) != maxRetired {
			t.Errorf("%s has %d series, want %d", name, len(family.GetMetric()), maxRetired)
		}
	}
}

func TestLogLine(t *testing.T) {
	f := start(t, nil, goneReplica(t, "gone"), server(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "nothing")
	}))
	f.post("/v1/models/x/predict?secret=1", "image")
	var line map[string]any
	until(t, "the log line", func() bool { return json.Unmarshal([]byte(f.log.String()), &line) == nil })
	want := map[string]any{
		"msg": "request", "method": "POST", "path": "/v1/models/x/predict", "status": 404.0, "replica": "a",
		"retried": true, "bytes_out": 7.0, "client": "127.0.0.1", "level": "INFO",
	}
	for key, value := range want {
		if line[key] != value {
			t.Errorf("%s is %v, want %v", key, line[key], value)
		}
	}
	if line["duration"] == nil || line["request_id"] == nil || strings.Contains(f.log.String(), "secret") {
		t.Errorf("log line %v", line)
	}
}
