package loadtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// maxResponse bounds a response, in bytes.
const maxResponse = 16 << 20

// Kinds of failures of the transport.
const (
	kindTimeout   = "timeout"
	kindRefused   = "connection refused"
	kindReset     = "connection reset"
	kindTruncated = "response truncated"
	kindTooLong   = "response too long"
	kindHost      = "host not found"
	kindNetwork   = "network error"
)

var errResponseTooLong = errors.New("response too long")

// transport sends requests and reads their responses to the end, so that it sees every failure as a typed error. Vegeta
// passes on only an error's text, so a failure becomes a response with status 0 and its kind as the status text.
type transport struct {
	ctx     context.Context // cancels all requests; vegeta creates them without a context
	base    http.RoundTripper
	timeout time.Duration
	grpc    bool // responses are those of calls
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), t.timeout)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	r = r.WithContext(ctx)
	r.Header.Del("X-Vegeta-Seq")
	response, err := t.base.RoundTrip(r)
	var data []byte
	if err == nil {
		data, err = readBody(response)
	}
	if err != nil {
		return &http.Response{Status: kindOf(err), Body: http.NoBody, Header: http.Header{}, Request: r}, nil
	}
	if t.grpc {
		return grpcResult(response, data), nil
	}
	response.Body = io.NopCloser(bytes.NewReader(data))
	return response, nil
}

// readBody reads a response to its end and closes it.
func readBody(response *http.Response) ([]byte, error) {
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	if err == nil && len(data) > maxResponse {
		err = errResponseTooLong
	}
	return data, err
}

// kindOf classifies a transport failure.
func kindOf(err error) string {
	var network net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &network) && network.Timeout():
		return kindTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return kindRefused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return kindReset
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return kindTruncated
	case errors.Is(err, errResponseTooLong):
		return kindTooLong
	case errors.As(err, new(*net.DNSError)):
		return kindHost
	}
	return kindNetwork
}

// dialFunc opens a connection.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// link is how servers are reached.
type link struct {
	dial    dialFunc       // nil: the network
	rootCAs *x509.CertPool // of servers' certificates; nil: the system's
}

func (l link) tls() *tls.Config { return &tls.Config{RootCAs: l.rootCAs, MinVersion: tls.VersionTLS12} }

// newClient returns a client that keeps up to n connections open and does not follow redirects. ctx cancels its requests;
// closeIdle closes its idle connections. With grpc its requests are calls, which share a connection of HTTP/2.
func newClient(ctx context.Context, n int, timeout time.Duration, l link, grpc bool) (client *http.Client, closeIdle func()) {
	if l.dial == nil {
		l.dial = (&net.Dialer{Timeout: timeout}).DialContext
	}
	var protocols http.Protocols
	protocols.SetHTTP1(!grpc)
	protocols.SetHTTP2(grpc)
	protocols.SetUnencryptedHTTP2(grpc)
	base := &http.Transport{
		DialContext:         l.dial,
		TLSClientConfig:     l.tls(),
		Protocols:           &protocols,
		MaxIdleConnsPerHost: n,
		MaxIdleConns:        n,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
		WriteBufferSize:     64 << 10,
	}
	return &http.Client{Transport: transport{ctx, base, timeout, grpc}, CheckRedirect: noRedirect}, base.CloseIdleConnections
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// get fetches a small page. It does not follow redirects: neither does the load, and headers may hold a secret for this
// host only.
func get(ctx context.Context, url string, header http.Header, timeout time.Duration, l link) (status int, data []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	maps.Copy(r.Header, header)
	r.Host = header.Get("Host") // empty: the URL's
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: l.dial, TLSClientConfig: l.tls()}, CheckRedirect: noRedirect}
	response, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	if data, err = readBody(response); err != nil {
		return 0, nil, fmt.Errorf("GET %s: %w", url, err)
	}
	return response.StatusCode, data, nil
}
