package bulk

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"fovea/internal/apierror"
)

// Remote predicts with a server.
type Remote struct {
	client  *http.Client
	route   *url.URL
	query   url.Values
	key     string
	decode  DecodeFunc
	reached atomic.Bool // there was a response
	pause   func(ctx context.Context, d time.Duration) error
}

// DecodeFunc is Predictor.Decode.
type DecodeFunc func(ctx context.Context, image []byte, use func(img *image.RGBA, scale float64) error) error

// RemoteOptions say how a server is reached.
type RemoteOptions struct {
	Server         string         // its URL
	Model, Version string         // Version may be empty
	Query          url.Values     // parameters of the prediction
	Key            string         // API key; empty: none
	Roots          *x509.CertPool // nil: the system's
	Timeout        time.Duration  // of a request
	Parallel       int            // connections
	Decode         DecodeFunc     // of images that crops are taken of
}

// NewRemote returns the client of a server. No error shows the key.
func NewRemote(o RemoteOptions) (*Remote, error) {
	base, err := url.Parse(o.Server)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.User != nil || base.RawQuery != "" {
		return nil, errors.New("--server: give a URL such as http://127.0.0.1:8000, without user and query")
	}
	route := base.JoinPath("v1", "models", o.Model)
	if o.Version != "" {
		route = route.JoinPath("versions", o.Version)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.MaxIdleConns = o.Parallel, o.Parallel
	transport.TLSClientConfig = &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}
	client := &http.Client{Transport: transport, Timeout: o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} // the key is for this server alone
	return &Remote{client: client, route: route.JoinPath("predict"), query: o.Query, key: o.Key, decode: o.Decode, pause: pause}, nil
}

// Close closes the connections.
func (r *Remote) Close() { r.client.CloseIdleConnections() }

// Predict implements Predictor.
func (r *Remote) Predict(ctx context.Context, image []byte) (*Answer, error) {
	body, err := r.send(ctx, image, r.query)
	if err != nil {
		return nil, err
	}
	var response struct {
		Model       string            `json:"model"`
		Version     string            `json:"version"`
		Predictions []json.RawMessage `json:"predictions"`
	}
	if err := json.Unmarshal(body, &response); err != nil || len(response.Predictions) != 1 {
		return nil, apierror.New(apierror.NotFound, "%s does not answer as Fovea does", r.route.Redacted())
	}
	return &Answer{Model: response.Model, Version: response.Version, JSON: response.Predictions[0]}, nil
}

// Draw implements Predictor: the server draws.
func (r *Remote) Draw(ctx context.Context, image []byte, _ *Answer, format string) ([]byte, error) {
	query := url.Values{"annotate": {format}}
	for name, values := range r.query {
		query[name] = values
	}
	return r.send(ctx, image, query)
}

// Decode implements Predictor.
func (r *Remote) Decode(ctx context.Context, image []byte, use func(*image.RGBA, float64) error) error {
	return r.decode(ctx, image, use)
}

// How often a request is sent again, and how long at most before one of these.
const (
	maxRetries = 6
	firstPause = 200 * time.Millisecond
	maxPause   = 30 * time.Second
)

// send posts an image until there is an answer, or an error that stays. Predictions have no side effects, so that a request may be
// repeated.
func (r *Remote) send(ctx context.Context, image []byte, query url.Values) (body []byte, err error) {
	for retry := range maxRetries + 1 {
		var after time.Duration
		if body, after, err = r.post(ctx, image, query); err == nil {
			return body, nil
		}
		code := apierror.From(err).Code
		if code.Retry() == apierror.RetryNever || code == apierror.DeadlineExceeded || retry == maxRetries || ctx.Err() != nil {
			break
		}
		if code == apierror.Internal && retry > 0 { // twice is no accident
			break
		}
		wait := min(max(after, firstPause<<retry), maxPause)
		if failed := r.pause(ctx, wait); failed != nil {
			return nil, failed
		}
	}
	return nil, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// maxAnswer bounds the bytes of a response.
const maxAnswer = 1 << 30

// post sends an image once. after is how long the server asks to wait.
func (r *Remote) post(ctx context.Context, image []byte, query url.Values) (body []byte, after time.Duration, err error) {
	to := *r.route
	to.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(image))
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Content-Type", "application/octet-stream")
	if r.key != "" {
		request.Header.Set("Authorization", "Bearer "+r.key)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, 0, r.unreachable(ctx, err)
	}
	r.reached.Store(true)
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, 0, r.unreachable(ctx, err)
	}
	if response.StatusCode == http.StatusOK {
		return body, 0, nil
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")) // also a date, which Fovea never sends
	return nil, time.Duration(seconds) * time.Second, r.refused(response, body)
}

// unreachable is an error of the network. It is retried, unless there never was a response, and then ends the run.
func (r *Remote) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		if failed.Timeout() {
			return apierror.New(apierror.DeadlineExceeded, "no response from the server within --timeout")
		}
		err = failed.Err
	}
	code := apierror.NotFound // not retried
	if r.reached.Load() {
		code = apierror.NotReady
	}
	return apierror.Wrap(code, err, "the server cannot be reached")
}

// refused is the API error of a response.
func (r *Remote) refused(response *http.Response, body []byte) error {
	var answer apierror.Body
	if err := json.Unmarshal(body, &answer); err == nil && answer.Code != "" {
		if answer.Code == apierror.Unauthenticated && r.key == "" {
			return apierror.New(answer.Code, "the server requires an API key; give it with --key-file or in FOVEA_API_KEY")
		}
		return apierror.New(answer.Code, "%s", strings.TrimSpace(answer.Error))
	}
	code := apierror.NotFound // neither retried nor about the image
	switch response.StatusCode {
	case http.StatusRequestEntityTooLarge:
		code = apierror.BodyTooLarge
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusTooManyRequests:
		code = apierror.NotReady
	case http.StatusGatewayTimeout:
		code = apierror.DeadlineExceeded
	}
	text := fmt.Sprintf("%s answers %s", r.route.Redacted(), response.Status)
	if to := response.Header.Get("Location"); to != "" {
		text += ", to " + to + "; give that server"
	}
	return apierror.New(code, "%s", text)
}
