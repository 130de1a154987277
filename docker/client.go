// Package docker is one hardened container and its life: its specification, what a Docker engine is told to make of it,
// and what the engine says of it later. It is the only package that knows the engine's API.
//
// Every call ends within its own time-out, whatever the engine does, and fails with one of the package's errors. Nothing
// is ever tried again in here: the caller knows better what it wants by then.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
)

// MinAPIVersion is the oldest version of the engine's API that knows all that Fovea uses, device requests among it
// (Docker 20.10). MaxAPIVersion is the newest one that this package speaks.
const (
	MinAPIVersion = "1.41"
	MaxAPIVersion = api.DefaultVersion
)

// Timeouts bounds the calls. A call's time runs from its start, whatever is left of it beforehand in a queue.
type Timeouts struct {
	Call  time.Duration // questions, and Create, Kill and the start of a stream; default 10 s
	Start time.Duration // Start, which sets up the network and the GPUs; default 60 s
	Stop  time.Duration // Stop and Remove, beyond the grace that Stop gives; default 15 s
	Watch time.Duration // how often the engine is asked for a sign of life while events are awaited; default 5 s
}

func (t Timeouts) withDefaults() Timeouts {
	for _, field := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{{&t.Call, 10 * time.Second}, {&t.Start, time.Minute}, {&t.Stop, 15 * time.Second}, {&t.Watch, 5 * time.Second}} {
		if *field.value <= 0 {
			*field.value = field.fallback
		}
	}
	return t
}

// Option changes what Open makes.
type Option func(*Client)

// WithTimeouts replaces the default time-outs; what is zero keeps its default.
func WithTimeouts(t Timeouts) Option { return func(c *Client) { c.timeouts = t.withDefaults() } }

// WithLogger tells where the engine's warnings go, such as a limit that its kernel does not know. Default: slog.Default.
func WithLogger(log *slog.Logger) Option { return func(c *Client) { c.log = log } }

// Client talks to one engine. It is safe for concurrent use. Close it.
type Client struct {
	api      *client.Client
	timeouts Timeouts
	log      *slog.Logger
	server   string     // the engine's version
	making   sync.Mutex // a network
}

// Open connects to the engine and agrees with it on a version of its API. host is unix:///path, tcp://address or empty:
// then DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH tell, or else it is unix:///var/run/docker.sock. Errors:
// ErrUnreachable, ErrDenied, ErrTimeout; ErrUnsupported for an engine too old or too new.
func Open(ctx context.Context, host string, options ...Option) (*Client, error) {
	c := &Client{timeouts: Timeouts{}.withDefaults(), log: slog.Default()}
	for _, option := range options {
		option(c)
	}
	where := []client.Opt{client.WithTLSClientConfigFromEnv(), client.WithHostFromEnv()}
	if host != "" {
		where = []client.Opt{client.WithTLSClientConfigFromEnv(), client.WithHost(host)}
	}
	version, err := negotiate(ctx, c.timeouts.Call, where)
	if err != nil {
		return nil, err
	}
	if c.api, err = client.NewClientWithOpts(append(where, client.WithVersion(version))...); err != nil {
		return nil, fmt.Errorf("docker host %q: %w", host, err)
	}
	if err := c.greet(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// negotiate asks for the newest version that the engine speaks, and takes it or this package's newest.
func negotiate(ctx context.Context, timeout time.Duration, where []client.Opt) (string, error) {
	first, err := client.NewClientWithOpts(where...)
	if err != nil {
		return "", fmt.Errorf("docker host: %w", err)
	}
	defer first.Close()
	ping, err := call(ctx, timeout, "ping "+first.DaemonHost(), first.Ping)
	if err != nil {
		return "", err
	}
	theirs := ping.APIVersion
	if theirs == "" || versions.LessThan(theirs, MinAPIVersion) {
		return "", fmt.Errorf("%w: its API version is %s; at least %s is needed (Docker 20.10 or newer)",
			ErrUnsupported, or(theirs, "unknown"), MinAPIVersion)
	}
	if versions.LessThan(MaxAPIVersion, theirs) {
		return MaxAPIVersion, nil
	}
	return theirs, nil
}

// greet is the first call with the chosen version. An engine so new that it dropped that version refuses the argument.
func (c *Client) greet(ctx context.Context) error {
	version, err := call(ctx, c.timeouts.Call, "ask for the engine's version", c.api.ServerVersion)
	if errdefs.IsInvalidArgument(err) {
		return fmt.Errorf("%w: it no longer speaks API version %s, the newest that this Fovea knows: use a newer Fovea or an older Docker (%w)",
			ErrUnsupported, c.api.ClientVersion(), err)
	}
	if err != nil {
		return err
	}
	c.server = version.Version
	return nil
}

// Ping asks the engine for a sign of life.
func (c *Client) Ping(ctx context.Context) error {
	_, err := call(ctx, c.timeouts.Call, "ping", c.api.Ping)
	return err
}

// APIVersion is the version that was agreed on.
func (c *Client) APIVersion() string { return c.api.ClientVersion() }

// ServerVersion is the engine's version when it was opened.
func (c *Client) ServerVersion() string { return c.server }

// Close ends idle connections. Streams end with their contexts.
func (c *Client) Close() error { return c.api.Close() }

// call runs one call of the engine's client within a time-out, and translates its error.
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

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
