package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fovea/tools/bench/pairs"
)

// sample is the server's size after a number of requests.
type sample struct {
	requests int64
	usage    usage
}

// soak sends o.Requests requests of every kind (good, bad and aborted) and reports how the server's resident memory grew
// and whether goroutines and open files returned to their initial numbers.
func soak(ctx context.Context, o options, out io.Writer) error {
	images, err := images(o.Images)
	if err != nil {
		return err
	}
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	c := &client{url: s.base + o.route(), addr: strings.TrimPrefix(s.base, "http://"), path: o.route(), images: images, tallies: make([]tally, len(kinds)),
		http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: o.Connections}}}
	// Warm-up with a tenth of the requests: pools, arenas and heaps reach their size.
	if _, err := c.send(ctx, o, s, o.Requests/10); err != nil {
		return err
	}
	before, err := s.measureIdle(ctx, c)
	if err != nil {
		return err
	}
	samples, err := c.send(ctx, o, s, o.Requests)
	if err != nil {
		return err
	}
	after, err := s.measureIdle(ctx, c)
	if err != nil {
		return err
	}
	slope := growth(samples)
	fmt.Fprintf(out, "requests %d  resident %.1f MiB → %.1f MiB  slope %+.1f bytes per request (limit %.0f)\n",
		o.Requests, mib(samples[0].usage.Resident), mib(samples[len(samples)-1].usage.Resident), slope, o.Limit)
	fmt.Fprintf(out, "goroutines %d → %d  files %d → %d\n", before.goroutines, after.goroutines, before.Files, after.Files)
	for _, line := range c.counts() {
		fmt.Fprintln(out, line)
	}
	return errors.Join(c.failed(), verdict(slope, o.Limit, before, after))
}

// idleSlack allows for the connection that reads the metrics, and for goroutines that Go's runtime starts for finalizers
// and cleanups when it first needs them.
const idleSlack = 2

func verdict(slope, limit float64, before, after idleUsage) error {
	var errs []error
	if slope > limit {
		errs = append(errs, fmt.Errorf("memory leaks: %.1f bytes per request", slope))
	}
	if after.goroutines > before.goroutines+idleSlack {
		errs = append(errs, fmt.Errorf("goroutines leak: %d before, %d after", before.goroutines, after.goroutines))
	}
	if after.Files > before.Files+idleSlack {
		errs = append(errs, fmt.Errorf("files leak: %d before, %d after", before.Files, after.Files))
	}
	return errors.Join(errs...)
}

// growth returns the slope of resident memory in bytes per request: the median of the slopes between the minima of ten
// consecutive blocks of samples. The minimum ignores uncollected garbage, and the median an arena that grows once; a leak
// raises every block.
func growth(samples []sample) float64 {
	const blocks = 10
	size := len(samples) / blocks
	if size == 0 {
		return 0
	}
	var minima []sample
	for block := range slices.Chunk(samples[:size*blocks], size) {
		minima = append(minima, slices.MinFunc(block, func(a, b sample) int {
			return int(a.usage.Resident - b.usage.Resident)
		}))
	}
	var slopes []float64
	for i, next := range minima[1:] {
		slopes = append(slopes, float64(next.usage.Resident-minima[i].usage.Resident)/float64(next.requests-minima[i].requests))
	}
	return pairs.Median(slopes)
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// tally counts the requests of one kind.
type tally struct{ sent, wrong atomic.Int64 }

// client sends the requests of a soak.
type client struct {
	url, addr, path string
	images          [][]byte
	http            *http.Client
	tallies         []tally // of each kind
	firstWrong      atomic.Pointer[string]
}

// kinds are the requests of a soak, taken in turn.
var kinds = []struct {
	name string
	send func(c *client, ctx context.Context, image []byte) error
}{
	{"good image", func(c *client, ctx context.Context, image []byte) error {
		return c.post(ctx, "application/octet-stream", image, http.StatusOK)
	}},
	{"good image named by type", func(c *client, ctx context.Context, image []byte) error {
		return c.post(ctx, http.DetectContentType(image), image, http.StatusOK)
	}},
	{"truncated image", func(c *client, ctx context.Context, image []byte) error {
		return c.post(ctx, "application/octet-stream", image[:len(image)*2/3], http.StatusUnprocessableEntity)
	}},
	{"two images, one bad", func(c *client, ctx context.Context, image []byte) error {
		bad := base64.StdEncoding.EncodeToString(image[:100])
		good := base64.StdEncoding.EncodeToString(image)
		body := fmt.Sprintf(`{"images":[{"b64":%q},{"b64":%q}]}`, bad, good)
		return c.post(ctx, "application/json", []byte(body), http.StatusOK)
	}},
	{"text instead of an image", func(c *client, ctx context.Context, _ []byte) error {
		return c.post(ctx, "application/octet-stream", []byte("not an image at all"), http.StatusUnsupportedMediaType)
	}},
	{"invalid JSON", func(c *client, ctx context.Context, _ []byte) error {
		return c.post(ctx, "application/json", []byte(`{"images":[{"b64":`), http.StatusBadRequest)
	}},
	{"client disconnects in the middle of its body", (*client).hangUp},
	{"client disconnects before the response", func(c *client, ctx context.Context, image []byte) error {
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		err := c.post(ctx, "application/octet-stream", image, http.StatusOK)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return err
	}},
}

// send sends n requests over o.Connections connections and samples the server a hundred times meanwhile.
func (c *client) send(ctx context.Context, o options, s *server, n int64) ([]sample, error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	var samples []sample
	var sampleErr error
	every := max(1, n/100)
	for range o.Connections {
		wg.Go(func() {
			for i := next.Add(1); i <= n && ctx.Err() == nil; i = next.Add(1) {
				c.one(ctx, int(i))
				if i%every != 0 {
					continue
				}
				u, err := s.usage()
				mu.Lock()
				samples, sampleErr = append(samples, sample{i, u}), errors.Join(sampleErr, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(samples, func(a, b sample) int { return int(a.requests - b.requests) })
	return samples, errors.Join(sampleErr, ctx.Err())
}

func (c *client) one(ctx context.Context, i int) {
	kind := i % len(kinds)
	count := &c.tallies[kind]
	count.sent.Add(1)
	if err := kinds[kind].send(c, ctx, c.images[(i/len(kinds))%len(c.images)]); err != nil {
		count.wrong.Add(1)
		text := kinds[kind].name + ": " + err.Error()
		c.firstWrong.CompareAndSwap(nil, &text)
	}
}

func (c *client) post(ctx context.Context, contentType string, body []byte, want int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		return fmt.Errorf("status %d, want %d: %s", resp.StatusCode, want, answer)
	}
	return nil
}

// hangUp announces an image, sends half of it and closes the connection.
func (c *client) hangUp(ctx context.Context, image []byte) error {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s",
		c.path, len(image), image[:len(image)/2])
	return err
}

func (c *client) counts() []string {
	lines := make([]string, len(kinds))
	for i, kind := range kinds {
		lines[i] = fmt.Sprintf("%8d  %s, %d wrong responses", c.tallies[i].sent.Load(), kind.name, c.tallies[i].wrong.Load())
	}
	return lines
}

func (c *client) failed() error {
	if text := c.firstWrong.Load(); text != nil {
		return errors.New(*text)
	}
	return nil
}
