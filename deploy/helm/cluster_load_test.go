//go:build cluster

package helm

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// requestTimeout is how long a client waits.
const requestTimeout = 20 * time.Second

// load sends an image to a NodePort at a rate, from clients that keep their connections and clients that open one for each request.
type load struct {
	t       *testing.T
	url     string
	key     atomic.Value // string: the API key; empty: none
	body    []byte
	kept    *http.Client
	fresh   *http.Client
	stop    chan struct{}
	senders sync.WaitGroup

	mu        sync.Mutex
	sent      int
	failed    map[string]int
	failedAt  []time.Time
	latencies []time.Duration
}

// client is a load that sends nothing by itself.
func client(t *testing.T, url, key string) *load {
	t.Helper()
	body, err := os.ReadFile("../../testdata/images/chelsea.jpg")
	if err != nil {
		t.Fatal(err)
	}
	transport := func() *http.Transport {
		return &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 64}
	}
	fresh := transport()
	fresh.DisableKeepAlives = true
	l := &load{t: t, url: url, body: body, kept: &http.Client{Transport: transport(), Timeout: requestTimeout},
		fresh: &http.Client{Transport: fresh, Timeout: requestTimeout}, stop: make(chan struct{}), failed: map[string]int{}}
	l.key.Store(key)
	return l
}

// steady starts a load.
func steady(t *testing.T, url, key string, rate float64) *load {
	t.Helper()
	l := client(t, url, key)
	l.senders.Go(func() { l.pace(rate) })
	t.Cleanup(l.end)
	return l
}

// pace sends requests when they are due.
func (l *load) pace(rate float64) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			client := l.kept
			if n%2 == 1 {
				client = l.fresh
			}
			l.senders.Go(func() { l.send(client) })
		}
	}
}

func (l *load) send(client *http.Client) {
	begin := time.Now()
	failure := l.predict(client)
	took := time.Since(begin)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	l.latencies = append(l.latencies, took)
	if failure != "" {
		l.failed[failure]++
		l.failedAt = append(l.failedAt, time.Now())
	}
}

// predict sends one request and says what was wrong with the response.
func (l *load) predict(client *http.Client) string {
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, l.url+"/predict", bytes.NewReader(l.body))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Content-Type", "image/jpeg")
	if key, _ := l.key.Load().(string); key != "" {
		request.Header.Set("X-API-Key", key)
	}
	response, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err.Error()
	case response.StatusCode != http.StatusOK:
		what, _, _ := strings.Cut(string(text), `,"request_id"`)
		return fmt.Sprintf("%d %.200s", response.StatusCode, what)
	}
	return ""
}

// end stops the load and waits for its last response.
func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.senders.Wait()
	l.kept.CloseIdleConnections()
}

// window forgets the latencies until now.
func (l *load) window() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latencies = nil
}

// p99 of the requests that ended in the window; 0 without any.
func (l *load) p99() time.Duration {
	l.mu.Lock()
	sorted := slices.Sorted(slices.Values(l.latencies))
	l.mu.Unlock()
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*99/100)]
}

// result ends the load, prints the figures of an event and returns how many requests failed, and over how long.
func (l *load) result(event string) (failed int, span time.Duration) {
	l.t.Helper()
	l.end()
	for _, n := range l.failed {
		failed += n
	}
	if failed > 0 {
		span = slices.MaxFunc(l.failedAt, time.Time.Compare).Sub(slices.MinFunc(l.failedAt, time.Time.Compare))
	}
	l.t.Logf("FIGURE %s: %d requests, %d failed over %s, p99 %s", event, l.sent, failed, span.Round(time.Second/10), l.p99().Round(time.Millisecond))
	for _, text := range slices.Sorted(maps.Keys(l.failed)) {
		l.t.Logf("  %d × %s", l.failed[text], text)
	}
	return failed, span
}

// none ends the load and fails the test if a request failed.
func (l *load) none(event string) {
	l.t.Helper()
	if failed, _ := l.result(event); failed > 0 {
		l.t.Errorf("%s: %d of %d requests failed", event, failed, l.sent)
	}
}
