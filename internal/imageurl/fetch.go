package imageurl

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"fovea/internal/apierror"
)

const (
	// maxURL is the most bytes of an address.
	maxURL = 4096
	// maxHeader is the most bytes of a response's header.
	maxHeader = 64 << 10
	// maxConnections bounds the connections to one host.
	maxConnections = 32
	idleTimeout    = 30 * time.Second
	// discarded is how much of an error's body is read so that its connection can be used again.
	discarded = 4 << 10
)

// userAgent names the program to servers.
const userAgent = "fovea"

// Resolver looks up the addresses of a host; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dial connects to an address and port.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Fetcher fetches images. It is safe for concurrent use.
type Fetcher struct {
	cfg      Config
	allowed  []pattern
	resolver Resolver
	dial     Dial
	client   *http.Client
}

// New returns a Fetcher that resolves and connects by the operating system.
func New(cfg Config) *Fetcher {
	return NewWith(cfg, net.DefaultResolver, (&net.Dialer{}).DialContext)
}

// NewWith returns a Fetcher with another resolver, and what connects to the addresses that were checked.
func NewWith(cfg Config, resolver Resolver, dial Dial) *Fetcher {
	f := &Fetcher{cfg: cfg, resolver: resolver, dial: dial}
	for _, text := range cfg.Hosts {
		p, _ := parsePattern(text) // the configuration is valid
		f.allowed = append(f.allowed, p)
	}
	// Without Proxy: a proxy would resolve the host again. Without compression: a few bytes could become many.
	transport := &http.Transport{
		DialContext: f.connect, DisableCompression: true, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: maxHeader,
		MaxConnsPerHost: maxConnections, MaxIdleConns: maxConnections, IdleConnTimeout: idleTimeout,
	}
	f.client = &http.Client{Transport: transport, CheckRedirect: f.redirect}
	return f
}

// Enabled reports whether any host is allowed.
func (f *Fetcher) Enabled() bool { return len(f.allowed) > 0 }

// Timeout is the time limit for all images of a request.
func (f *Fetcher) Timeout() time.Duration { return f.cfg.Timeout }

// Close closes idle connections.
func (f *Fetcher) Close() { f.client.CloseIdleConnections() }

// refusedError is the error of an address that is not allowed.
func refusedError(format string, args ...any) *apierror.Error {
	return apierror.New(apierror.URLRefused, format, args...)
}

// Open requests an image and returns its body and length in bytes (-1: unknown). The body must be closed, and read no further than
// a limit of the caller's; it ends with ctx. Errors are *apierror.Error with code URLRefused, if the address or one it redirects to
// is not allowed, or URLFailed; they name hosts, and nothing else of an address, which may grant access.
func (f *Fetcher) Open(ctx context.Context, address string) (body io.ReadCloser, length int64, err error) {
	u, err := f.parse(address)
	if err != nil {
		return nil, 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, 0, refusedError("the URL is not valid")
	}
	request.Header = http.Header{"User-Agent": {userAgent}, "Accept": {"image/*"}, "Accept-Encoding": {"identity"}}
	response, err := f.client.Do(request)
	if err != nil {
		return nil, 0, f.reason(ctx, u.Host, err)
	}
	if err := checkResponse(response); err != nil {
		_, _ = io.CopyN(io.Discard, response.Body, discarded)
		_ = response.Body.Close()
		return nil, 0, err
	}
	return &content{response.Body, f, ctx, response.Request.URL.Host}, response.ContentLength, nil
}

// checkResponse wants an image as it is.
func checkResponse(response *http.Response) error {
	host := apierror.Quote(response.Request.URL.Host)
	if response.StatusCode != http.StatusOK {
		return apierror.New(apierror.URLFailed, "the image cannot be fetched: %s answered %d", host, response.StatusCode)
	}
	if e := response.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return apierror.New(apierror.URLFailed, "the image cannot be fetched: %s sent it in content encoding %s", host, apierror.Quote(e))
	}
	return nil
}

// reason returns why a request failed.
func (f *Fetcher) reason(ctx context.Context, host string, err error) error {
	if e, ok := errors.AsType[*apierror.Error](err); ok {
		return e // of connect or redirect
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // without the address
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return apierror.Wrap(apierror.URLFailed, err, "the image cannot be fetched: %s took longer than %s", apierror.Quote(host), f.cfg.Timeout)
	}
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	return apierror.Wrap(apierror.URLFailed, err, "the image cannot be fetched: %s cannot be reached, or does not speak HTTP", apierror.Quote(host))
}

// content is the body of a response.
type content struct {
	io.ReadCloser
	fetcher *Fetcher
	ctx     context.Context //nolint:containedctx // of one response
	host    string
}

// Read implements io.Reader.
func (c *content) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = c.fetcher.reason(c.ctx, c.host, err)
	}
	return n, err
}

// parse checks an address.
func (f *Fetcher) parse(address string) (*url.URL, error) {
	if !f.Enabled() {
		return nil, refusedError("images by URL are not allowed here; send the image itself")
	}
	if len(address) > maxURL {
		return nil, refusedError("the URL is longer than %d bytes", maxURL)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, refusedError("the URL is not valid")
	}
	return u, f.check(u)
}

// check wants an allowed scheme, host and port.
func (f *Fetcher) check(u *url.URL) error {
	ports := map[string]string{"https": "443"}
	if f.cfg.HTTP {
		ports["http"] = "80"
	}
	schemePort, ok := ports[strings.ToLower(u.Scheme)]
	switch {
	case !ok && f.cfg.HTTP:
		return refusedError("the URL's scheme is %s; allowed: https and http", apierror.Quote(u.Scheme))
	case !ok:
		return refusedError("the URL's scheme is %s; allowed: https", apierror.Quote(u.Scheme))
	case u.User != nil:
		return refusedError("the URL has a user name")
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" {
		port = schemePort
	}
	for _, p := range f.allowed {
		if isHostName(host) && p.allows(host, port, schemePort) {
			return nil
		}
	}
	return refusedError("host %s is not one that images may be fetched from", apierror.Quote(u.Host))
}

// redirect checks where a response leads to.
func (f *Fetcher) redirect(next *http.Request, via []*http.Request) error {
	if len(via) > f.cfg.Redirects {
		return apierror.New(apierror.URLFailed, "the image cannot be fetched: more than %d redirects", f.cfg.Redirects)
	}
	next.Header.Del("Referer") // may contain a query
	if next.URL.Scheme != "https" && via[len(via)-1].URL.Scheme == "https" {
		return refusedError("%s redirects from https to %s", apierror.Quote(via[len(via)-1].URL.Host), apierror.Quote(next.URL.Scheme))
	}
	return f.check(next.URL)
}

// connect resolves a host and connects to one of its public addresses: to the address that was checked, since a name may resolve to
// another one the next time.
func (f *Fetcher) connect(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, err := f.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, a := range addresses {
		if !isPublic(a) {
			continue
		}
		var connection net.Conn
		if connection, failed = f.dial(ctx, network, net.JoinHostPort(a.Unmap().String(), port)); failed == nil {
			return connection, nil
		}
	}
	if failed == nil {
		failed = refusedError("host %s has no public address", apierror.Quote(host))
	}
	return nil, failed
}
