// Package docker runs hardened containers: it validates a container's specification, creates, starts, stops and removes it on a
// Docker engine, reports its status and events, and checks an engine before use. It is the only package that uses the engine's
// API.
//
// Every call has a timeout and fails with one of the package's errors. Nothing is retried here; that is up to the caller.
package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
)

// minAPIVersion is the oldest version of the engine's API with everything that Fovea uses, such as device requests (Docker
// 20.10). maxAPIVersion is the newest that this package supports.
const (
	minAPIVersion = "1.41"
	maxAPIVersion = api.DefaultVersion
)

// Timeouts are the calls' timeouts, each measured from the start of the call.
type Timeouts struct {
	Call  time.Duration // queries, Create, Kill and the start of a stream; default 10 s
	Start time.Duration // Start, which sets up the network and the GPUs; default 60 s
	Stop  time.Duration // Stop and Remove, in addition to the grace period of Stop; default 15 s
	Watch time.Duration // how often the engine is pinged during an event stream; default 5 s
}

func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Call: cmp.Or(t.Call, 10*time.Second), Start: cmp.Or(t.Start, time.Minute),
		Stop: cmp.Or(t.Stop, 15*time.Second), Watch: cmp.Or(t.Watch, 5*time.Second),
	}
}

// Option changes a setting of Open.
type Option func(*Client)

// WithTimeouts sets timeouts; zero fields keep their defaults.
func WithTimeouts(t Timeouts) Option { return func(c *Client) { c.timeouts = t.withDefaults() } }

// WithLogger sets the logger for the engine's warnings, such as an unsupported limit; default slog.Default.
func WithLogger(log *slog.Logger) Option { return func(c *Client) { c.log = log } }

// Client is a connection to one engine. It is safe for concurrent use. The caller calls Close.
type Client struct {
	api       *client.Client
	timeouts  Timeouts
	log       *slog.Logger
	networkMu sync.Mutex // held while a network is created
}

// Open connects to the engine and negotiates the API version. host is unix:///path, tcp://address or empty: then DOCKER_HOST,
// DOCKER_TLS_VERIFY and DOCKER_CERT_PATH apply, and the default is unix:///var/run/docker.sock. Errors: ErrUnreachable, ErrDenied,
// ErrTimeout; ErrUnsupported for an engine that is too old or too new.
func Open(ctx context.Context, host string, options ...Option) (*Client, error) {
	c := &Client{timeouts: Timeouts{}.withDefaults(), log: slog.Default()}
	for _, option := range options {
		option(c)
	}
	where := []client.Opt{client.WithTLSClientConfigFromEnv(), client.WithHostFromEnv()}
	if host != "" {
		where[1] = client.WithHost(host)
	}
	host = cmp.Or(host, os.Getenv(client.EnvOverrideHost))
	version, err := negotiate(ctx, c.timeouts.Call, host, where)
	if err != nil {
		return nil, err
	}
	if c.api, err = client.NewClientWithOpts(append(where, client.WithVersion(version))...); err != nil {
		return nil, fmt.Errorf("connect to Docker host %q: %w", host, err)
	}
	if err := c.checkVersion(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// negotiate returns the newest API version that both the engine and this package support.
func negotiate(ctx context.Context, timeout time.Duration, host string, where []client.Opt) (string, error) {
	first, err := client.NewClientWithOpts(where...)
	if err != nil {
		return "", fmt.Errorf("connect to Docker host %q: %w", host, err)
	}
	defer first.Close()
	ping, err := call(ctx, timeout, "ping "+first.DaemonHost(), first.Ping)
	if err != nil {
		return "", err
	}
	newest := ping.APIVersion
	if newest == "" || versions.LessThan(newest, minAPIVersion) {
		return "", fmt.Errorf("%w: its API version is %s, older than %s (Docker 20.10)",
			ErrUnsupported, cmp.Or(newest, "unknown"), minAPIVersion)
	}
	if versions.LessThan(maxAPIVersion, newest) {
		return maxAPIVersion, nil
	}
	return newest, nil
}

// checkVersion makes the first call with the negotiated version. An engine so new that it dropped that version rejects it.
func (c *Client) checkVersion(ctx context.Context) error {
	_, err := call(ctx, c.timeouts.Call, "Docker engine version", c.api.ServerVersion)
	if errdefs.IsInvalidArgument(err) {
		return fmt.Errorf("%w: it dropped API version %s, the newest that this Fovea supports: use a newer Fovea or an older Docker (%w)",
			ErrUnsupported, c.api.ClientVersion(), err)
	}
	return err
}

// Ping checks that the engine responds.
func (c *Client) Ping(ctx context.Context) error {
	_, err := call(ctx, c.timeouts.Call, "ping", c.api.Ping)
	return err
}

// APIVersion returns the negotiated API version.
func (c *Client) APIVersion() string { return c.api.ClientVersion() }

// Close closes idle connections. Streams end with their contexts.
func (c *Client) Close() error { return c.api.Close() }

// call runs one call of the engine's client with a timeout, and translates its error.
func call[T any](ctx context.Context, timeout time.Duration, what string, f func(context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result, err := f(bounded)
	return result, translate(ctx, what, err)
}

func (c *Client) do(ctx context.Context, timeout time.Duration, what string, f func(context.Context) error) error {
	_, err := call(ctx, timeout, what, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}
