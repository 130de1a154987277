//go:build engine

package fleet

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fovea/internal/testenv"
)

const (
	usualRate = 20 // requests per second
	// maxInFlight limits concurrent requests. A machine that cannot do more is not asked for more.
	maxInFlight = 32
)

func rate(t *testing.T) float64 {
	t.Helper()
	text := os.Getenv("FOVEA_FLEET_RATE")
	if text == "" {
		return usualRate
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 {
		t.Fatalf("FOVEA_FLEET_RATE: %q is not a rate", text)
	}
	return n
}

// span returns the minimum duration of the load.
func span(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("FOVEA_FLEET_SPAN")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("FOVEA_FLEET_SPAN: %v", err)
	}
	return d
}

// sent is one request of the load.
type sent struct {
	begin, end time.Time
	err        string // empty: status 200
}

// load sends an image to the gateway at a rate.
type load struct {
	b       *harness
	t       *testing.T
	rate    float64
	img     []byte
	stop    chan struct{}
	senders sync.WaitGroup
	client  *http.Client
	request func() error

	start   time.Time
	begun   atomic.Int64
	under   atomic.Int64 // in flight
	skipped atomic.Int64 // because of maxInFlight
	mu      sync.Mutex
	all     []sent
}

// load starts sending at the tests' rate, limited to a quarter of what the replicas answer in a warm-up, so that no
// request fails because the machine is slow.
func (b *harness) load(options ...func(*http.Transport)) *load {
	b.t.Helper()
	l := b.newLoad(options...)
	l.request = func() error { return post(l.client, "http://"+l.b.address+"/predict", l.img) }
	return l.run()
}

func (b *harness) newLoad(options ...func(*http.Transport)) *load {
	b.t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: maxInFlight}
	for _, option := range options {
		option(transport)
	}
	return &load{b: b, t: b.t, rate: rate(b.t), img: testenv.Image(b.t, "chelsea.jpg"), stop: make(chan struct{}),
		client: &http.Client{Timeout: patience, Transport: transport}}
}

// run starts sending.
func (l *load) run() *load {
	if able := l.warm(); !figures() {
		l.rate = min(l.rate, able/4)
	}
	l.begin()
	return l
}

// freshConnections makes each request on a new connection, so that a request made while the gateway's process is down
// waits for the next.
func freshConnections(t *http.Transport) { t.DisableKeepAlives = true }

// warm measures the requests per second with two in flight.
func (l *load) warm() float64 {
	l.t.Helper()
	const perSender = 10
	begin := time.Now()
	var senders sync.WaitGroup
	for range 2 {
		senders.Go(func() {
			for range perSender {
				l.send()
			}
		})
	}
	senders.Wait()
	for _, s := range l.all {
		if s.err != "" {
			l.t.Fatalf("before any fault: %s", s.err)
		}
	}
	l.all = nil
	l.begun.Store(0)
	return 2 * perSender / time.Since(begin).Seconds()
}

func (l *load) begin() {
	l.start = time.Now()
	l.senders.Go(func() {
		ticker := time.NewTicker(time.Duration(float64(time.Second) / l.rate))
		defer ticker.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-ticker.C:
				if l.under.Load() >= maxInFlight && !figures() {
					l.skipped.Add(1)
					continue
				}
				l.under.Add(1)
				l.senders.Go(func() {
					defer l.under.Add(-1)
					l.send()
				})
			}
		}
	})
	time.Sleep(time.Second)
}

func (l *load) send() {
	l.begun.Add(1)
	s := sent{begin: time.Now()}
	if err := l.request(); err != nil {
		s.err = err.Error()
	}
	s.end = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, s)
}

// post sends an image; any status but 200 is an error.
func post(client *http.Client, url string, img []byte) error {
	response, err := client.Post(url, "image/jpeg", strings.NewReader(string(img)))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		var fault struct{ Code string }
		if json.Unmarshal(body, &fault) != nil || fault.Code == "" {
			fault.Code = string(body[:min(len(body), 60)])
		}
		err = fmt.Errorf("%d %s", response.StatusCode, fault.Code)
	}
	return err
}

// outcome is the result of a load.
type outcome struct {
	sent, failed int
	rate         float64 // achieved, per second
	gap          time.Duration
	errors       map[string]int
	all          []sent
}

// end stops the load after another second, or when its span is over.
func (l *load) end() outcome {
	l.t.Helper()
	time.Sleep(max(time.Second, time.Until(l.start.Add(span(l.t)))))
	close(l.stop)
	l.senders.Wait()
	l.client.CloseIdleConnections()
	o := outcome{sent: len(l.all), errors: map[string]int{}, all: l.all}
	var first, last time.Time
	good := []time.Time{}
	for _, s := range l.all {
		if first.IsZero() || s.begin.Before(first) {
			first = s.begin
		}
		if s.end.After(last) {
			last = s.end
		}
		if s.err == "" {
			good = append(good, s.end)
		} else {
			o.failed++
			o.errors[s.err]++
		}
	}
	o.rate = float64(o.sent) / last.Sub(first).Seconds()
	for i := 1; i < len(good); i++ { // in the order of their ends
		o.gap = max(o.gap, good[i].Sub(good[i-1]))
	}
	if n := l.skipped.Load(); n > 0 {
		l.t.Logf("the machine is too slow for %.0f requests per second: %d were not sent", l.rate, n)
	}
	for text, n := range o.errors {
		l.t.Logf("%d times: %s", n, text)
	}
	return o
}

// only asserts that all failed requests were in flight between two moments.
func (o outcome) only(t *testing.T, from, to time.Time) outcome {
	t.Helper()
	for _, s := range o.all {
		if s.err != "" && (s.end.Before(from) || s.begin.After(to)) {
			t.Errorf("a request failed outside the fault: %s, %s to %s; the fault was from %s to %s", s.err, s.begin, s.end, from, to)
		}
	}
	return o
}

// none asserts that no request failed.
func (o outcome) none(t *testing.T) outcome {
	t.Helper()
	if o.failed > 0 {
		t.Errorf("%d of %d requests failed", o.failed, o.sent)
	}
	return o
}
