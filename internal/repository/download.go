package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// download fetches one address into a file, going on after cuts.
type download struct {
	client   *http.Client
	part     string
	size     int64 // of the whole file; 0: not known
	progress *progress
	etag     string        // of the answer that the part came from; empty when it came from an earlier pull
	idle     time.Duration // the longest wait for the next bytes
	backoff  time.Duration // the first wait between tries; doubles each time
}

const (
	maxTries     = 5 // in a row that bring no byte
	maxCuts      = 1000
	maxRedirects = 10
	maxBackoff   = 10 * time.Second
)

func newDownload(transport http.RoundTripper, source Source, part string, p *progress) *download {
	if transport == nil {
		transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:   15 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			ForceAttemptHTTP2:     true,
			DisableCompression:    true,
		}
	}
	return &download{
		client: &http.Client{Transport: transport, CheckRedirect: checkRedirect},
		part:   part, size: source.Size, progress: p,
		idle: 30 * time.Second, backoff: 500 * time.Millisecond,
	}
}

// checkRedirect lets a download go on to https only; to http where it began with it, which only a mirror may.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return &final{fmt.Errorf("more than %d redirects", maxRedirects)}
	}
	if req.URL.Scheme != "https" && via[0].URL.Scheme != "http" {
		return &final{fmt.Errorf("redirect to %s, which is not https", req.URL.Redacted())}
	}
	return nil
}

// final is an error that another try would only meet again.
type final struct{ error }

func (f *final) Unwrap() error { return f.error }

// run downloads until the part is whole. Tries that bring bytes are not counted against maxTries.
func (d *download) run(ctx context.Context, address string) error {
	if _, err := url.Parse(address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	defer d.client.CloseIdleConnections()
	wait, failures := d.backoff, 0
	for range maxCuts {
		before := d.have()
		err := d.try(ctx, address, before)
		var last *final
		if err == nil || ctx.Err() != nil || errors.As(err, &last) {
			return err
		}
		if failures++; d.have() > before {
			wait, failures = d.backoff, 0
		}
		if failures >= maxTries {
			return fmt.Errorf("gave up after %d tries: %w", failures, err)
		}
		d.progress.say("%v; trying again in %v", err, wait)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, maxBackoff)
	}
	return fmt.Errorf("gave up after %d cuts", maxCuts)
}

// have is the number of bytes in the part.
func (d *download) have() int64 {
	info, err := os.Stat(d.part)
	if err != nil {
		return 0
	}
	return info.Size()
}

// try asks for what is missing, once.
func (d *download) try(ctx context.Context, address string, have int64) error {
	if d.size > 0 && have == d.size {
		return nil // cut after the last byte; the hash decides
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(d.idle, func() { cancel(fmt.Errorf("no byte came for %v", d.idle)) })
	defer stalled.Stop()

	res, err := d.ask(ctx, address, have)
	if err != nil {
		return orCause(ctx, err)
	}
	defer res.Body.Close()
	from, err := d.start(res, have)
	if err != nil {
		return orCause(ctx, err) // a server may still answer what has been given up
	}
	return orCause(ctx, d.save(res, from, stalled))
}

// orCause puts why a context ended in the place of the error that came of it.
func orCause(ctx context.Context, err error) error {
	if err != nil && context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	return err
}

func (d *download) ask(ctx context.Context, address string, have int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &final{err}
	}
	req.Header.Set("Accept-Encoding", "identity") // ranges and sizes are those of the file itself
	req.Header.Set("User-Agent", "fovea")
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		if d.etag != "" {
			req.Header.Set("If-Range", d.etag)
		}
	}
	return d.client.Do(req)
}

// start judges an answer and returns where in the file its body begins.
func (d *download) start(res *http.Response, have int64) (from int64, err error) {
	switch {
	case res.StatusCode == http.StatusOK:
	case res.StatusCode == http.StatusPartialContent && have > 0:
		var end, total int64
		n, _ := fmt.Sscanf(res.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &end, &total)
		if n < 2 || from != have || n == 3 && d.size > 0 && total != d.size {
			return 0, d.restart(fmt.Errorf("the server answered with the range %q; starting again",
				res.Header.Get("Content-Range")))
		}
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return 0, d.restart(errors.New("the server has less than what is there; starting again"))
	case res.StatusCode >= 500, res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout:
		return 0, fmt.Errorf("%s answered %s", res.Request.URL.Redacted(), res.Status)
	default:
		return 0, &final{fmt.Errorf("%s answered %s", res.Request.URL.Redacted(), res.Status)}
	}
	if length := res.ContentLength; d.size > 0 && length >= 0 && from+length != d.size {
		return 0, &final{fmt.Errorf("%s has %d bytes, the definition says %d", res.Request.URL.Redacted(), from+length, d.size)}
	}
	d.etag = res.Header.Get("ETag")
	if strings.HasPrefix(d.etag, "W/") { // a weak tag does not promise the same bytes
		d.etag = ""
	}
	return from, nil
}

// restart drops the part, so that the next try begins at the first byte.
func (d *download) restart(because error) error {
	d.etag = ""
	if err := os.Remove(d.part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return &final{err}
	}
	return because
}

// save writes the body at from; what follows in the part is cut off.
func (d *download) save(res *http.Response, from int64, stalled *time.Timer) error {
	f, err := os.OpenFile(d.part, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return &final{err}
	}
	defer f.Close()
	if err := errors.Join(f.Truncate(from), seek(f, from)); err != nil {
		return &final{err}
	}
	limit := d.size
	if limit == 0 {
		limit = maxWeights
	}
	d.progress.done = from
	body := &awake{io.LimitReader(res.Body, limit-from+1), stalled, d.idle}
	n, err := io.Copy(io.MultiWriter(f, d.progress), body)
	if from+n > limit {
		return &final{d.restart(fmt.Errorf("the server sent more than the %d bytes allowed", limit))}
	}
	if err == nil && d.size > 0 && from+n < d.size {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, f.Sync())
}

func seek(f *os.File, to int64) error {
	_, err := f.Seek(to, io.SeekStart)
	return err
}

// awake puts the stall timer off with every read that brings bytes.
type awake struct {
	r     io.Reader
	timer *time.Timer
	idle  time.Duration
}

func (a *awake) Read(b []byte) (int, error) {
	n, err := a.r.Read(b)
	if n > 0 {
		a.timer.Reset(a.idle)
	}
	return n, err
}
