package pairs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Body is a request body.
type Body struct {
	Data        []byte
	ContentType string
}

// answers are the latencies of requests, ascending, and how long they took together.
type answers struct {
	latencies []time.Duration
	took      time.Duration
}

func (a answers) perSecond() float64 { return float64(len(a.latencies)) / a.took.Seconds() }

// quantile returns the latency that a share q of the requests does not exceed, in milliseconds.
func (a answers) quantile(q float64) float64 {
	at := min(int(q*float64(len(a.latencies))), len(a.latencies)-1)
	return float64(a.latencies[at]) / float64(time.Millisecond)
}

const requestLimit = 30 * time.Second

// closedLoop keeps n requests in flight for d, with one connection each, divided evenly among the URLs. Any response other
// than 200 is an error.
func closedLoop(ctx context.Context, urls []string, n int, d time.Duration, bodies []Body) (answers, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := &http.Client{Timeout: requestLimit, Transport: &http.Transport{MaxIdleConnsPerHost: n, DisableCompression: true}}
	defer client.CloseIdleConnections()
	lists, errs := make([][]time.Duration, n), make([]error, n)
	var done sync.WaitGroup
	began := time.Now()
	for i := range n {
		done.Go(func() {
			for j := i; time.Since(began) < d; j++ {
				sent := time.Now()
				if err := post(ctx, client, urls[i%len(urls)], bodies[j%len(bodies)]); err != nil {
					errs[i] = err
					cancel()
					return
				}
				lists[i] = append(lists[i], time.Since(sent))
			}
		})
	}
	done.Wait()
	a := answers{slices.Concat(lists...), time.Since(began)}
	slices.Sort(a.latencies)
	if err := errors.Join(errs...); err != nil {
		return a, err
	}
	if len(a.latencies) == 0 {
		return a, errors.New("no request was answered")
	}
	return a, nil
}

func post(ctx context.Context, client *http.Client, url string, body Body) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body.Data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", body.ContentType)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d: %.200s", resp.StatusCode, text)
	}
	return err
}
