//go:build cluster

package helm

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
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

// settled is how long after Kubernetes has noticed a loss the proxies of all nodes may take to know of it. It is a limit for a machine
// that is very busy, not a measurement.
const settled = 15 * time.Second

// load sends an image to a NodePort at a rate, from clients that keep their connections and clients that open one for each request.
type load struct {
	t       *testing.T
	url     string
	key     atomic.Value // string: the API key; empty: none
	body    []byte
	kept    *http.Client
	fresh   *http.Client
	poisson bool // exponentially distributed gaps between requests, rather than equal ones
	stop    chan struct{}
	senders sync.WaitGroup

	mu      sync.Mutex
	answers []answer
}

// answer is the end of a request.
type answer struct {
	begin, end time.Time
	failure    string // empty: it succeeded
	status     bool   // the failure is a response of a server, not a lost connection
}

// client is a load that sends nothing by itself.
func client(t *testing.T, url, key string) *load {
	t.Helper()
	body, err := os.ReadFile("../../testdata/images/chelsea.jpg")
	if err != nil {
		t.Fatal(err)
	}
	transport := func() *http.Transport {
		return &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 64, IdleConnTimeout: 5 * time.Second}
	}
	fresh := transport()
	fresh.DisableKeepAlives = true
	l := &load{t: t, url: url, body: body, kept: &http.Client{Transport: transport(), Timeout: requestTimeout},
		fresh: &http.Client{Transport: fresh, Timeout: requestTimeout}, stop: make(chan struct{})}
	l.key.Store(key)
	return l
}

// steady starts a load.
func steady(t *testing.T, url, key string, rate float64) *load {
	t.Helper()
	l := client(t, url, key)
	l.start(rate)
	return l
}

// calibrated is a rate that one pod can answer with ease on this machine as busy as it is: a quarter of what one client gets that sends
// one request after another, at most limit.
func calibrated(t *testing.T, url, key string, limit float64) float64 {
	t.Helper()
	const span = 3 * time.Second
	l := client(t, url, key)
	begin := time.Now()
	for time.Since(begin) < span {
		l.send(l.kept)
	}
	if failed := failures(l.answers); len(failed) > 0 {
		t.Fatalf("before anything has happened: %s", failed[0].failure)
	}
	return min(limit, float64(len(l.answers))/time.Since(begin).Seconds()/4)
}

// random starts a load of many independent clients: requests come at random, and none uses a connection of another. A Service chooses a
// pod for each connection, so that pods that are added get none of those that exist.
func random(t *testing.T, url string, rate float64) *load {
	t.Helper()
	l := client(t, url, "")
	l.poisson, l.kept = true, l.fresh
	l.start(rate)
	return l
}

func (l *load) start(rate float64) {
	l.senders.Go(func() { l.pace(rate) })
	l.t.Cleanup(l.end)
}

// pace sends requests when they are due.
func (l *load) pace(rate float64) {
	due := time.Now()
	for n := 0; ; n++ {
		gap := 1 / rate
		if l.poisson {
			gap *= rand.ExpFloat64()
		}
		due = due.Add(time.Duration(gap * float64(time.Second)))
		select {
		case <-l.stop:
			return
		case <-time.After(time.Until(due)):
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
	failure, status := l.predict(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, answer{begin, time.Now(), failure, status})
}

// predict sends one request. It returns what was wrong with the response, and whether there was one.
func (l *load) predict(client *http.Client) (failure string, status bool) {
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, l.url+"/predict", bytes.NewReader(l.body))
	if err != nil {
		return err.Error(), false
	}
	request.Header.Set("Content-Type", "image/jpeg")
	if key, _ := l.key.Load().(string); key != "" {
		request.Header.Set("X-API-Key", key)
	}
	response, err := client.Do(request)
	if err != nil {
		return err.Error(), false
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err.Error(), false
	case response.StatusCode != http.StatusOK:
		what, _, _ := strings.Cut(string(text), `,"request_id"`)
		return fmt.Sprintf("%d %.200s", response.StatusCode, what), true
	}
	return "", false
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

// since are the answers that came after a time.
func (l *load) since(from time.Time) (list []answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.answers {
		if a.end.After(from) {
			list = append(list, a)
		}
	}
	return list
}

// failures are the answers that are none.
func failures(list []answer) []answer {
	return slices.DeleteFunc(slices.Clone(list), func(a answer) bool { return a.failure == "" })
}

// p99 of the requests that were answered; 0 without any.
func p99(list []answer) time.Duration {
	var took []time.Duration
	for _, a := range list {
		took = append(took, a.end.Sub(a.begin))
	}
	slices.Sort(took)
	if len(took) == 0 {
		return 0
	}
	return took[min(len(took)-1, len(took)*99/100)]
}

// result ends the load, enters its figures in a row and returns its failures.
func (l *load) result(r *row) []answer {
	l.t.Helper()
	l.end()
	failed := failures(l.answers)
	kinds := map[string]int{}
	for _, a := range failed {
		kinds[a.failure]++
	}
	for _, text := range slices.Sorted(maps.Keys(kinds)) {
		l.t.Logf("%s: %d × %s", r.event, kinds[text], text)
	}
	report.Lock()
	defer report.Unlock()
	r.requests, r.failed = fmt.Sprint(len(l.answers)), fmt.Sprint(len(failed))
	return failed
}

// none ends the load and fails the test if a request failed.
func (l *load) none(r *row) {
	l.t.Helper()
	if failed := l.result(r); len(failed) > 0 {
		l.t.Errorf("%s: %d of %d requests failed", r.event, len(failed), len(l.answers))
	}
}

// lost ends a load during which a pod was lost. What fails must be connections of that pod, or responses of it that begin as said: no
// other pod answers with an error, and none fails that began when Kubernetes had noticed the loss and its proxies knew.
func (l *load) lost(r *row, noticed time.Time, own ...string) {
	l.t.Helper()
	failed := l.result(r)
	answered := 0
	for _, a := range failed {
		if a.status && !slices.ContainsFunc(own, func(begin string) bool { return strings.HasPrefix(a.failure, begin) }) {
			answered++
		}
	}
	if answered > 0 {
		l.t.Errorf("%s: pods that were not lost answered %d requests with an error", r.event, answered)
	}
	l.noneLate(r, failed, noticed)
	if len(failed) > 0 {
		first := slices.MinFunc(failed, func(a, b answer) int { return a.begin.Compare(b.begin) })
		last := slices.MaxFunc(failed, func(a, b answer) int { return a.begin.Compare(b.begin) })
		r.figure("failed ones began within %s", last.begin.Sub(first.begin).Round(time.Second/10))
	}
}

// noneAfter ends a load during which a pod answered with errors until it was noticed.
func (l *load) noneAfter(r *row, noticed time.Time) {
	l.t.Helper()
	l.noneLate(r, l.result(r), noticed)
}

func (l *load) noneLate(r *row, failed []answer, noticed time.Time) {
	l.t.Helper()
	late := slices.DeleteFunc(slices.Clone(failed), func(a answer) bool { return !a.begin.After(noticed.Add(settled)) })
	if len(late) > 0 {
		l.t.Errorf("%s: %d requests failed that began more than %s after the loss was noticed", r.event, len(late), settled)
	}
}
