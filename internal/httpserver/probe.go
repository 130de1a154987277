package httpserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Probe sends a GET request to the server that listens on address (host:port) on this machine, and returns an error unless
// the status is 200 within timeout. A server with TLS needs a configuration of the client; without TLS it is nil.
func Probe(ctx context.Context, address, path string, timeout time.Duration, client *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	target, err := Reachable(address)
	if err != nil {
		return err
	}
	scheme := "http"
	if client != nil {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+target+path, nil)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: client} // no proxy: it is the same machine
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10)) // a part of it is good enough
	return fmt.Errorf("probe: %s: status %s: %s", path, response.Status, strings.TrimSpace(string(text)))
}

// Reachable returns the address at which a server that listens on address can be reached from this machine: the loopback
// address for one that listens on all.
func Reachable(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("address: %w", err)
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}
