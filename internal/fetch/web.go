package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"fovea/internal/source"
)

const maxRedirects = 10

// userAgent names the program to servers.
const userAgent = "fovea"

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 15 * time.Second,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true,
		IdleConnTimeout:     idleTimeout,
	}
}

// client returns an HTTP client whose token, if any, is sent to one origin (scheme://host:port) only.
func (t *transfer) client(origin, token string) *http.Client {
	transport := t.transport
	if token != "" {
		transport = &bearer{t.transport, origin, token}
	}
	return &http.Client{Transport: transport, CheckRedirect: checkRedirect}
}

// bearer adds a token to requests to one origin.
type bearer struct {
	base          http.RoundTripper
	origin, token string
}

// RoundTrip sends a request.
func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if originOf(r.URL) == b.origin {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.base.RoundTrip(r)
}

func originOf(u *url.URL) string { return strings.ToLower(u.Scheme + "://" + u.Host) }

// checkRedirect allows redirects to https, and to http only if the download began with it. Nothing that grants access follows to
// another host.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return &final{fmt.Errorf("more than %d redirects", maxRedirects)}
	}
	if req.URL.Scheme != "https" && via[0].URL.Scheme != "http" {
		return &final{fmt.Errorf("redirect to %s, which is not https", display(req.URL))}
	}
	req.Header.Del("Referer") // may contain a query
	if originOf(req.URL) != originOf(via[0].URL) {
		req.Header.Del("Authorization")
		req.Header.Del("Cookie")
	}
	return nil
}

// display returns an address for messages: without a query, which may grant access.
func display(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// clean removes the query from the address in the error of an HTTP client.
func clean(err error) error {
	var failed *url.Error
	if !errors.As(err, &failed) {
		return err
	}
	at := failed.URL
	if u, parseErr := url.Parse(failed.URL); parseErr == nil {
		at = display(u)
	} else {
		at, _, _ = strings.Cut(at, "?")
	}
	return fmt.Errorf("%s: %w", at, failed.Err)
}

// webFile is a file on a web server.
type webFile struct {
	do      func(*http.Request) (*http.Response, error)
	address string
	explain func(*http.Response) string // adds to the error of a response; nil: nothing
}

// open requests the file from an offset on.
func (w webFile) open(ctx context.Context, at int64, tag string) (*content, error) {
	header := http.Header{"Accept-Encoding": {"identity"}} // ranges and sizes are those of the file itself
	if at > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", at))
		if tag != "" {
			header.Set("If-Range", tag)
		}
	}
	res, err := w.get(ctx, header)
	if err != nil {
		return nil, err
	}
	c, err := w.content(res, at)
	if err != nil {
		_ = res.Body.Close()
		return nil, err
	}
	return c, nil
}

func (w webFile) get(ctx context.Context, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.address, nil)
	if err != nil {
		return nil, &final{clean(err)}
	}
	req.Header = header
	req.Header.Set("User-Agent", userAgent)
	res, err := w.do(req)
	if err != nil {
		return nil, clean(err)
	}
	return res, nil
}

// content checks a response.
func (w webFile) content(res *http.Response, at int64) (*content, error) {
	c := &content{ReadCloser: res.Body, size: res.ContentLength, tag: res.Header.Get("ETag")}
	if strings.HasPrefix(c.tag, "W/") { // a weak tag does not guarantee the same bytes
		c.tag = ""
	}
	switch {
	case res.StatusCode == http.StatusOK:
		return c, nil
	case res.StatusCode == http.StatusPartialContent && at > 0:
		from, size, ok := parseRange(res.Header.Get("Content-Range"))
		if !ok || from != at {
			return nil, &restartError{fmt.Errorf("the server returned the range %q; starting over", res.Header.Get("Content-Range"))}
		}
		if size < 0 && res.ContentLength >= 0 {
			size = from + res.ContentLength
		}
		c.at, c.size = from, size
		return c, nil
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable && at > 0:
		return nil, &restartError{errors.New("the server's file is shorter than the partial download; starting over")}
	}
	return nil, w.failed(res)
}

// failed returns the error of a response that is none of success.
func (w webFile) failed(res *http.Response) error {
	err := fmt.Errorf("%s returned %s", display(res.Request.URL), res.Status)
	if w.explain != nil {
		if text := w.explain(res); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
	}
	if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout {
		return err
	}
	return &final{err}
}

// parseRange parses a Content-Range; size is -1 if it is unknown.
func parseRange(text string) (from, size int64, ok bool) {
	var end int64
	switch n, _ := fmt.Sscanf(text, "bytes %d-%d/%d", &from, &end, &size); n {
	case 3:
		return from, size, true
	case 2:
		return from, -1, true
	}
	return 0, 0, false
}

// openWeb returns the file that an address names. What else is on the server is unknown.
func (t *transfer) openWeb(src Source) (*opened, error) {
	client := t.client("", "")
	u, err := url.Parse(src.Address)
	if err != nil {
		return nil, &final{clean(err)}
	}
	at := func(u *url.URL) entry {
		recorded := Source{Scheme: source.HTTPS, Address: u.String()}.Recorded()
		return entry{name: path.Base(u.Path), url: recorded, open: webFile{do: client.Do, address: u.String()}.open}
	}
	model := at(u)
	return &opened{exact: &model, sibling: func(name string) entry {
		next := u.ResolveReference(&url.URL{Path: "./" + name, RawQuery: u.RawQuery})
		return at(next)
	}}, nil
}
