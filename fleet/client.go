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
	"strings"
	"time"
)

// Client talks to a running supervisor.
type Client struct {
	http *http.Client
}

// ErrNotRunning: nobody listens on the socket, or only until its end, which has begun.
var ErrNotRunning = errors.New("supervise is not running")

// NewClient connects to the socket at its first call.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
		}
		return conn, nil
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status asks for the fleet's status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return c.command(ctx, http.MethodGet, "/status", nil)
}

// Rollout has the supervisor read its configuration anew and begin a roll-out.
func (c *Client) Rollout(ctx context.Context) (Status, error) {
	return c.command(ctx, http.MethodPost, "/rollout", nil)
}

// Drain takes a GPU, by index or UUID, out of use.
func (c *Client) Drain(ctx context.Context, gpu string) (Status, error) {
	return c.command(ctx, http.MethodPost, "/drain", url.Values{"gpu": {gpu}})
}

// Resume takes a GPU into use again, or lets a replica that failed for good try again.
func (c *Client) Resume(ctx context.Context, name string) (Status, error) {
	return c.command(ctx, http.MethodPost, "/resume", url.Values{"name": {name}})
}

// Down begins to stop everything, the supervisor last.
func (c *Client) Down(ctx context.Context) (Status, error) {
	return c.command(ctx, http.MethodPost, "/down", nil)
}

// Logs writes a replica's last lines, and goes on until the context ends if follow is set.
func (c *Client) Logs(ctx context.Context, replica string, tail int, follow bool, w io.Writer) error {
	query := url.Values{"replica": {replica}, "tail": {strconv.Itoa(tail)}, "follow": {strconv.FormatBool(follow)}}
	body, err := c.open(ctx, http.MethodGet, "/logs", query)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err = io.Copy(w, body); ctx.Err() != nil {
		return nil
	}
	return err
}

func (c *Client) command(ctx context.Context, method, path string, query url.Values) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	body, err := c.open(ctx, method, path, query)
	if err != nil {
		return Status{}, err
	}
	defer body.Close()
	var s Status
	if err := json.NewDecoder(body).Decode(&s); err != nil {
		return s, fmt.Errorf("%s: %w", strings.TrimPrefix(path, "/"), err)
	}
	return s, nil
}

// open sends a request and returns the body of a good answer, which the caller closes.
func (c *Client) open(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://supervise"+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	var probeResponse struct {
		Error string `json:"error"`
	}
	if err := json.NewDecoder(response.Body).Decode(&probeResponse); err != nil || probeResponse.Error == "" {
		return nil, fmt.Errorf("%s: the supervisor answers %s", strings.TrimPrefix(path, "/"), response.Status)
	}
	if response.StatusCode == http.StatusServiceUnavailable {
		return nil, fmt.Errorf("%w: %s", ErrNotRunning, probeResponse.Error)
	}
	return nil, errors.New(probeResponse.Error)
}
