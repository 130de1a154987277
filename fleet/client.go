package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// Client sends commands to a running supervisor.
type Client struct {
	http *http.Client
}

// Errors of all commands.
var (
	ErrNotRunning   = errors.New("supervisor is not running") // no supervisor listens on the socket
	ErrShuttingDown = errors.New("supervisor is shutting down")
)

// NewClient returns a client for a socket. It connects with the first command.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("%w (socket %s)", ErrNotRunning, socket)
		}
		return conn, err
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status returns the status of the fleet.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return c.command(ctx, http.MethodGet, "status", nil)
}

// Rollout reloads the configuration and starts a rollout.
func (c *Client) Rollout(ctx context.Context) (Status, error) {
	return c.command(ctx, http.MethodPost, "rollout", nil)
}

// Drain takes a GPU out of use, by index or UUID.
func (c *Client) Drain(ctx context.Context, gpu string) (Status, error) {
	return c.command(ctx, http.MethodPost, "drain", url.Values{"gpu": {gpu}})
}

// Resume returns a GPU to use, or restarts a failed replica.
func (c *Client) Resume(ctx context.Context, name string) (Status, error) {
	return c.command(ctx, http.MethodPost, "resume", url.Values{"name": {name}})
}

// Down starts to stop all replicas, then the supervisor.
func (c *Client) Down(ctx context.Context) (Status, error) {
	return c.command(ctx, http.MethodPost, "down", nil)
}

// Logs writes a replica's last lines to w, and follows its log until the context ends if follow is set.
func (c *Client) Logs(ctx context.Context, replica string, tail int, follow bool, w io.Writer) error {
	query := url.Values{"replica": {replica}, "tail": {strconv.Itoa(tail)}, "follow": {strconv.FormatBool(follow)}}
	body, err := c.open(ctx, http.MethodGet, "logs", query)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err = io.Copy(w, body); ctx.Err() != nil {
		return nil
	}
	return err
}

func (c *Client) command(ctx context.Context, method, name string, query url.Values) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	body, err := c.open(ctx, method, name, query)
	if err != nil {
		return Status{}, err
	}
	defer body.Close()
	var s Status
	if err := json.NewDecoder(body).Decode(&s); err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// open sends a request and returns the body of a successful response, which the caller closes.
func (c *Client) open(ctx context.Context, method, name string, query url.Values) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://supervise/"+name+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // The URL is no help: the socket has no host.
	}
	if errors.Is(err, ErrNotRunning) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	var failure struct {
		Error string `json:"error"`
	}
	if err := json.NewDecoder(response.Body).Decode(&failure); err != nil || failure.Error == "" {
		return nil, fmt.Errorf("%s: the supervisor returned %s", name, response.Status)
	}
	if response.StatusCode == http.StatusServiceUnavailable {
		return nil, fmt.Errorf("%w: %s", ErrNotRunning, failure.Error)
	}
	return nil, errors.New(failure.Error)
}
