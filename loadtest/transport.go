package loadtest

import (
	"bytes"
	"context"
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

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 16 << 20

// Kinds of failures of the transport.
const (
	kindTimeout  = "timeout"
	kindRefused  = "connection refused"
	kindReset    = "connection reset"
	kindCut      = "answer cut short"
	kindTooLong  = "answer too long"
	kindHost     = "host not found"
	kindNetworks = "network error"
)

var errAnswerTooLong = errors.New("answer too long")

// transport sends requests and reads their answers to the end, so that it sees every failure as a typed error. Vegeta
// hands on only an error's text; so a failure becomes an answer with the status 0 and its kind as the status text.
type transport struct {
	ctx     context.Context // ends all requests; vegeta makes them without one
	base    http.RoundTripper
	timeout time.Duration
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), t.timeout)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	r = r.WithContext(ctx)
	r.Header.Del("X-Vegeta-Seq") // not the server's business
	response, data, err := t.exchange(r)
	if err != nil {
		return &http.Response{Status: kindOf(err), Body: http.NoBody, Header: http.Header{}, Request: r}, nil
	}
	response.Body = io.NopCloser(bytes.NewReader(data))
	return response, nil
}

func (t transport) exchange(r *http.Request) (*http.Response, []byte, error) {
	response, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = errAnswerTooLong
	}
	return response, data, err
}

// kindOf sorts a failure of the transport.
func kindOf(err error) string {
	var name *net.DNSError
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
		return kindCut
	case errors.Is(err, errAnswerTooLong):
		return kindTooLong
	case errors.As(err, &name):
		return kindHost
	}
	return kindNetworks
}

// newClient makes a client that keeps up to n connections open and follows no redirects. Its requests end with ctx; close
// ends its idle connections.
func newClient(ctx context.Context, n int, timeout time.Duration) (client *http.Client, closeIdle func()) {
	base := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: timeout}).DialContext,
		MaxIdleConnsPerHost: n,
		MaxIdleConns:        n,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
		WriteBufferSize:     64 << 10,
	}
	return &http.Client{
		Transport:     transport{ctx, base, timeout},
		CheckRedirect: noRedirect,
	}, base.CloseIdleConnections
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// get fetches a small page beside the load, with errors that say what was wrong. It follows no redirects: the load does
// not either, and headers may hold a secret that is this host's alone.
func get(ctx context.Context, url string, header http.Header, timeout time.Duration) (status int, data []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	maps.Copy(r.Header, header)
	r.Host = header.Get("Host") // empty: the URL's
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: noRedirect}
	response, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if data, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1)); err == nil && len(data) > maxAnswer {
		err = errAnswerTooLong
	}
	if err != nil {
		return 0, nil, fmt.Errorf("GET %s: %w", url, err)
	}
	return response.StatusCode, data, nil
}
