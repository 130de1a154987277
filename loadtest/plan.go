package loadtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"fovea/internal/config"
)

// maxProbes bounds the requests sent before the load.
const maxProbes = 64

// Plan is a load test that is ready to run: its images are loaded, and the server has answered them.
type Plan struct {
	config  Config
	target  Target
	bodies  []body
	checker checker
	scraper scraper
	notes   []string
	link    link
}

// Prepare reads the images and checks that the server is ready, has the model, and answers each of the images (at most
// the first 64).
func Prepare(ctx context.Context, c Config) (*Plan, error) {
	return prepare(ctx, c, nil)
}

// prepare makes a plan. A nil dial uses the network.
func prepare(ctx context.Context, c Config, dial dialFunc) (*Plan, error) {
	if err := config.Check(c); err != nil {
		return nil, err
	}
	p := &Plan{config: c, link: link{dial, c.RootCAs}, target: Target{URL: c.URL}, checker: checker{fovea: c.URL == "", grpc: c.Protocol == V2GRPC, expect: c.Expect}}
	prepareRequests := p.prepareV1
	if c.Protocol != V1 {
		prepareRequests = p.prepareV2
	}
	if err := prepareRequests(ctx); err != nil {
		return nil, err
	}
	if err := p.tryBodies(ctx); err != nil {
		return nil, err
	}
	return p, p.findMetrics(ctx)
}

// prepareV1 makes the requests for Fovea's own protocol or another server.
func (p *Plan) prepareV1(ctx context.Context) error {
	images, err := ReadImages(p.config.Images)
	if err != nil {
		return err
	}
	if err := p.config.Expect.check(images); err != nil {
		return err
	}
	p.checker.images = images
	if p.bodies, err = p.config.Body.bodies(images); err != nil {
		return err
	}
	if p.checker.fovea {
		return p.queryFovea(ctx)
	}
	if p.config.Expect.Classes != nil && p.config.Expect.At == "" {
		return errors.New("expect-at: required for other servers: the path of the class in a response")
	}
	return nil
}

func (p *Plan) queryFovea(ctx context.Context) error {
	base := strings.TrimSuffix(p.config.Server, "/")
	if err := p.checkReady(ctx, base); err != nil {
		return err
	}
	status, data, err := get(ctx, base+"/v1/models", p.config.Header, p.config.Timeout, p.link)
	if err != nil {
		return err
	}
	var list struct {
		Default string
		Models  []struct{ Name, Task string }
	}
	if status != http.StatusOK || json.Unmarshal(data, &list) != nil {
		return fmt.Errorf("%s is not a Fovea server: GET /v1/models returned HTTP %d; use url for another server", base, status)
	}
	p.target.Model = cmp.Or(p.config.Model, list.Default)
	var names []string
	for _, m := range list.Models {
		names = append(names, m.Name)
		if m.Name == p.target.Model && p.config.Expect.At == "" {
			p.checker.expect.At = classificationAt
			if m.Task == "detection" {
				p.checker.expect.At = detectionAt
			}
		}
	}
	if p.target.Model == "" && len(names) > 1 {
		return fmt.Errorf("model: the server has several models and no default; name one of %s", strings.Join(names, ", "))
	}
	if !slices.Contains(names, p.target.Model) {
		return fmt.Errorf("model: the server has no model %q; available: %s", p.target.Model, strings.Join(names, ", "))
	}
	p.target.URL = base + "/v1/models/" + url.PathEscape(p.target.Model) + "/predict"
	return nil
}

func (p *Plan) checkReady(ctx context.Context, base string) error {
	status, data, err := get(ctx, base+"/ready", p.config.Header, p.config.Timeout, p.link)
	if err != nil {
		return fmt.Errorf("the server does not respond: %w", err)
	}
	var state struct {
		Status  string
		Reasons []string
	}
	if err := json.Unmarshal(data, &state); err != nil || state.Status == "" {
		return fmt.Errorf("%s is not a Fovea server: GET /ready returned HTTP %d; use url for another server", base, status)
	}
	if status != http.StatusOK {
		return fmt.Errorf("the server is not ready: %s", strings.Join(append([]string{state.Status}, state.Reasons...), "; "))
	}
	return nil
}

// tryBodies sends each body once, up to maxProbes, and reports those that fail.
func (p *Plan) tryBodies(ctx context.Context) error {
	client, closeIdle := newClient(ctx, 1, p.config.Timeout, p.link, p.checker.grpc)
	defer closeIdle()
	var errs []error
	for _, b := range p.bodies[:min(len(p.bodies), maxProbes)] {
		err := p.try(ctx, client, b)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.checker.images[b.images[0]].Name, err))
		}
		if ctx.Err() != nil || len(errs) == 5 || errors.Is(err, errNoResponse) {
			break // the others would fail alike
		}
	}
	if ctx.Err() != nil {
		return ctx.Err() // rather than the failures that it caused
	}
	return errors.Join(errs...)
}

var errNoResponse = errors.New("no response")

func (p *Plan) try(ctx context.Context, client *http.Client, b body) error {
	t := p.request(b)
	r, err := t.Request()
	if err != nil {
		return err
	}
	response, err := client.Do(r.WithContext(ctx))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	failed := p.checker.failures(b, response.StatusCode, response.Status, data)
	switch {
	case response.StatusCode == 0:
		return fmt.Errorf("POST %s: %w: %s", p.target.URL, errNoResponse, response.Status)
	case len(failed) > 0 && failed[0] != kindClass: // wrong classes belong in the result
		return fmt.Errorf("POST %s: %s: %s", p.target.URL, failed[0], excerpt(data))
	}
	var decoded foveaResponse
	if p.checker.fovea && p.checker.v2 == nil && json.Unmarshal(data, &decoded) == nil {
		p.target.Version, p.target.Device = decoded.Version, decoded.Device
	}
	return nil
}

func excerpt(response []byte) string {
	const maxBytes = 300
	text := strings.ToValidUTF8(strings.TrimSpace(string(response[:min(len(response), maxBytes)])), "?")
	if len(response) > maxBytes {
		text += "…"
	}
	if text == "" {
		return "(empty)"
	}
	return text
}

// findMetrics chooses the URL of the server's metrics. A configured URL has to work; the default one may be missing.
func (p *Plan) findMetrics(ctx context.Context) error {
	p.scraper = scraper{url: p.config.Metrics, model: p.target.Model, timeout: min(p.config.Timeout, 2*time.Second), link: p.link}
	switch {
	case p.config.Metrics == "none", p.config.Metrics == "" && !p.checker.fovea:
		p.scraper.url = ""
		return nil
	case p.config.Metrics == "":
		p.scraper.url = strings.TrimSuffix(p.config.Server, "/") + "/metrics"
	}
	if sameHost(p.scraper.url, cmp.Or(p.config.URL, p.config.Server)) {
		p.scraper.header = p.config.Header
	}
	counters, err := p.scraper.read(ctx)
	switch {
	case err != nil && p.config.Metrics == "":
		p.notes = append(p.notes, "the server's metrics are not available: "+err.Error())
		p.scraper.url = ""
		return nil
	case err == nil && p.checker.fovea && len(counters.stages) == 0: // although requests succeeded
		p.notes = append(p.notes, fmt.Sprintf("%s has no stages: CPU time and memory are those of a proxy in front of Fovea, "+
			"such as the supervisor's gateway; set metrics to a replica's URL", p.scraper.url))
	}
	return err
}

// sameHost reports whether both URLs belong to one server, which then may receive the same headers.
func sameHost(a, b string) bool {
	one, err1 := url.Parse(a)
	other, err2 := url.Parse(b)
	return err1 == nil && err2 == nil && one.Scheme == other.Scheme && one.Host == other.Host
}
