package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// download fetches a URL into a file and resumes after interruptions.
type download struct {
	client   *http.Client
	part     string
	size     int64 // of the complete file; 0: unknown
	progress *progress
	etag     string // of the response that the part came from, if strong; empty after an earlier pull
}

const (
	maxTries       = 5 // in a row without progress
	maxInterrupts  = 1000
	maxRedirects   = 10
	idleTimeout    = 30 * time.Second       // without data
	initialBackoff = 500 * time.Millisecond // between tries; doubles each time
	maxBackoff     = 10 * time.Second
)

func newDownload(transport http.RoundTripper, source Source, part string, p *progress) *download {
	if transport == nil {
		transport = newTransport()
	}
	return &download{
		client: &http.Client{Transport: transport, CheckRedirect: checkRedirect},
		part:   part, size: source.Size, progress: p,
	}
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 15 * time.Second,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true,
	}
}

// checkRedirect allows redirects to https, and to http only if the download began with it, which only a mirror may.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return &final{fmt.Errorf("more than %d redirects", maxRedirects)}
	}
	if req.URL.Scheme != "https" && via[0].URL.Scheme != "http" {
		return &final{fmt.Errorf("redirect to %s, which is not https", req.URL.Redacted())}
	}
	return nil
}

// final is an error that a retry would not fix.
type final struct{ error }

func (f *final) Unwrap() error { return f.error }

// run downloads until the part is complete. Tries that make progress do not count against maxTries.
func (d *download) run(ctx context.Context, address string) error {
	defer d.client.CloseIdleConnections()
	wait, failures := initialBackoff, 0
	for range maxInterrupts {
		before := d.have()
		err := d.try(ctx, address, before)
		if err == nil || ctx.Err() != nil || errors.As(err, new(*final)) {
			return err
		}
		if failures++; d.have() > before {
			wait, failures = initialBackoff, 0
		}
		if failures >= maxTries {
			return fmt.Errorf("gave up after %d tries: %w", failures, err)
		}
		d.progress.report("%v; retrying in %v", err, wait)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		wait = min(2*wait, maxBackoff)
	}
	return fmt.Errorf("gave up after %d interruptions", maxInterrupts)
}

// have returns the number of bytes in the part.
func (d *download) have() int64 {
	info, err := os.Stat(d.part)
	if err != nil {
		return 0
	}
	return info.Size()
}

// try requests what is missing, once.
func (d *download) try(ctx context.Context, address string, have int64) error {
	if d.size > 0 && have == d.size {
		return nil // interrupted after the last byte; the hash decides
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.progress.stalled = time.AfterFunc(idleTimeout, func() { cancel(fmt.Errorf("no data for %v", idleTimeout)) })
	defer d.progress.stalled.Stop()
	res, err := d.request(ctx, address, have)
	if err != nil {
		return orCause(ctx, err)
	}
	defer res.Body.Close()
	from, err := d.start(res, have)
	if err != nil {
		return orCause(ctx, err) // a response may still arrive after the cancellation
	}
	return orCause(ctx, d.save(res, from))
}

// orCause replaces an error with the cause of the context's end.
func orCause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return cmp.Or(context.Cause(ctx), err)
}

func (d *download) request(ctx context.Context, address string, have int64) (*http.Response, error) {
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

// start checks a response and returns the offset of its body in the file.
func (d *download) start(res *http.Response, have int64) (from int64, err error) {
	switch {
	case res.StatusCode == http.StatusOK:
	case res.StatusCode == http.StatusPartialContent && have > 0:
		var end, total int64
		n, _ := fmt.Sscanf(res.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &end, &total)
		if n < 2 || from != have || n == 3 && d.size > 0 && total != d.size {
			return 0, d.restart(fmt.Errorf("the server returned the range %q; starting over",
				res.Header.Get("Content-Range")))
		}
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return 0, d.restart(errors.New("the server's file is shorter than the partial download; starting over"))
	case res.StatusCode >= 500, res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout:
		return 0, fmt.Errorf("%s returned %s", res.Request.URL.Redacted(), res.Status)
	default:
		return 0, &final{fmt.Errorf("%s returned %s", res.Request.URL.Redacted(), res.Status)}
	}
	if length := res.ContentLength; d.size > 0 && length >= 0 && from+length != d.size {
		return 0, &final{fmt.Errorf("%s has %d bytes; the definition says %d", res.Request.URL.Redacted(), from+length, d.size)}
	}
	d.etag = res.Header.Get("ETag")
	if strings.HasPrefix(d.etag, "W/") { // a weak tag does not guarantee the same bytes
		d.etag = ""
	}
	return from, nil
}

// restart removes the part, so that the next try begins at the first byte.
func (d *download) restart(because error) error {
	d.etag = ""
	if err := os.Remove(d.part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return &final{err}
	}
	return because
}

// save writes the body at an offset and truncates the part there first.
func (d *download) save(res *http.Response, from int64) error {
	f, err := os.OpenFile(d.part, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return &final{err}
	}
	defer f.Close()
	if err := f.Truncate(from); err != nil {
		return &final{err}
	}
	limit := cmp.Or(d.size, maxWeights)
	d.progress.done = from
	n, err := io.Copy(io.MultiWriter(io.NewOffsetWriter(f, from), d.progress), io.LimitReader(res.Body, limit-from+1))
	if from+n > limit {
		return &final{d.restart(fmt.Errorf("the server sent more than the expected %d bytes", limit))}
	}
	if err == nil && d.size > 0 && from+n < d.size {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, f.Sync())
}

// report writes a line about the pull.
func (o PullOptions) report(format string, args ...any) {
	if o.Progress != nil {
		fmt.Fprintf(o.Progress, "%s: %s\n", o.Name, fmt.Sprintf(format, args...))
	}
}

// progress counts bytes and reports them at most once a second.
type progress struct {
	report func(format string, args ...any)
	total  int64 // 0: unknown
	done   int64
	last   time.Time

	stalled *time.Timer // of a download; reset with every write
}

// Write counts b.
func (p *progress) Write(b []byte) (int, error) {
	if p.stalled != nil {
		p.stalled.Reset(idleTimeout)
	}
	p.done += int64(len(b))
	if time.Since(p.last) >= time.Second {
		p.last = time.Now()
		if p.total > 0 {
			p.report("%.1f of %.1f MB, %d%%", megabytes(p.done), megabytes(p.total), 100*p.done/p.total)
		} else {
			p.report("%.1f MB", megabytes(p.done))
		}
	}
	return len(b), nil
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }
