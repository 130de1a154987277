package loadtest

import (
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

// maxProbes bounds how many requests are tried before the load.
const maxProbes = 64

// Plan is a load test that is ready to run: the images are read, and the server has answered them.
type Plan struct {
	config  Config
	target  Target
	bodies  []body
	checker checker
	scraper scraper
	notes   []string
}

// Prepare reads the images, asks the server whether it is ready, has the model and answers each of the images (the
// first 64 of many), and says what is wrong otherwise.
func Prepare(ctx context.Context, c Config) (*Plan, error) {
	if err := config.Check(c); err != nil {
		return nil, err
	}
	images, err := ReadImages(c.Images)
	if err != nil {
		return nil, err
	}
	if err := c.Expect.check(images); err != nil {
		return nil, err
	}
	p := &Plan{config: c, target: Target{URL: c.URL}, checker: checker{fovea: c.URL == "", images: images, expect: c.Expect}}
	if p.bodies, err = c.Body.bodies(images); err != nil {
		return nil, err
	}
	if p.checker.fovea {
		err = p.askFovea(ctx)
	} else if c.Expect.Classes != nil && c.Expect.At == "" {
		err = errors.New("expect-at: say where the answers of this server hold the class")
	}
	if err != nil {
		return nil, err
	}
	if err := p.probe(ctx); err != nil {
		return nil, err
	}
	return p, p.findMetrics(ctx)
}

// listing is Fovea's answer to GET /v1/models.
type listing struct {
	Default string
	Models  []struct{ Name, State, Task string }
}

func (p *Plan) askFovea(ctx context.Context) error {
	base := strings.TrimSuffix(p.config.Server, "/")
	if err := p.ready(ctx, base); err != nil {
		return err
	}
	status, data, err := get(ctx, base+"/v1/models", p.config.Header, p.config.Timeout)
	if err != nil {
		return err
	}
	var list listing
	if status != http.StatusOK || json.Unmarshal(data, &list) != nil {
		return fmt.Errorf("%s is no Fovea server: GET /v1/models gives HTTP %d; for another server give its route as url", base, status)
	}
	p.target.Model = p.config.Model
	if p.target.Model == "" {
		p.target.Model = list.Default
	}
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
	if !slices.Contains(names, p.target.Model) {
		return fmt.Errorf("model: the server has no %q; it has %s", p.target.Model, strings.Join(names, ", "))
	}
	p.target.URL = base + "/v1/models/" + url.PathEscape(p.target.Model) + "/predict"
	return nil
}

func (p *Plan) ready(ctx context.Context, base string) error {
	status, data, err := get(ctx, base+"/ready", p.config.Header, p.config.Timeout)
	if err != nil {
		return fmt.Errorf("no server answers: %w", err)
	}
	var state struct {
		Status  string
		Reasons []string
	}
	if err := json.Unmarshal(data, &state); err != nil || state.Status == "" {
		return fmt.Errorf("%s is no Fovea server: GET /ready gives HTTP %d; for another server give its route as url", base, status)
	}
	if status != http.StatusOK {
		return fmt.Errorf("the server is not ready: %s", strings.Join(append([]string{state.Status}, state.Reasons...), "; "))
	}
	return nil
}

// probe sends each body once, up to maxProbes, and tells all those that are not answered well.
func (p *Plan) probe(ctx context.Context) error {
	client, closeIdle := newClient(ctx, 1, p.config.Timeout)
	defer closeIdle()
	var errs []error
	for _, b := range p.bodies[:min(len(p.bodies), maxProbes)] {
		err := p.try(ctx, client, b)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.checker.images[b.images[0]].Name, err))
		}
		if ctx.Err() != nil || len(errs) == 5 || errors.Is(err, errNoAnswer) {
			break // what follows would say the same
		}
	}
	if ctx.Err() != nil {
		return ctx.Err() // and not what came of it
	}
	return errors.Join(errs...)
}

var errNoAnswer = errors.New("no answer")

func (p *Plan) try(ctx context.Context, client *http.Client, b body) error {
	t := p.request(b, "")
	r, err := t.Request()
	if err != nil {
		return err
	}
	response, err := client.Do(r.WithContext(ctx))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	failed := p.checker.failures(b, response.StatusCode, response.Status, answer)
	switch {
	case response.StatusCode == 0:
		return fmt.Errorf("POST %s: %w: %s", p.target.URL, errNoAnswer, response.Status)
	case len(failed) > 0 && failed[0] != kindClass: // a wrong answer is for the result to tell
		return fmt.Errorf("POST %s: %s: %s", p.target.URL, failed[0], excerpt(answer))
	}
	var a foveaAnswer
	if p.checker.fovea && json.Unmarshal(answer, &a) == nil {
		p.target.Version, p.target.Device = a.Version, a.Device
	}
	return nil
}

func excerpt(answer []byte) string {
	const most = 300
	text := strings.ToValidUTF8(strings.TrimSpace(string(answer[:min(len(answer), most)])), "?")
	if len(answer) > most {
		text += "…"
	}
	if text == "" {
		return "(empty)"
	}
	return text
}

// findMetrics decides where the server's counters are. A URL that was named has to work; the usual one may be missing.
func (p *Plan) findMetrics(ctx context.Context) error {
	p.scraper = scraper{url: p.config.Metrics, model: p.target.Model, timeout: min(p.config.Timeout, 2*time.Second)}
	switch {
	case p.config.Metrics == "none", p.config.Metrics == "" && !p.checker.fovea:
		p.scraper.url = ""
		return nil
	case p.config.Metrics == "":
		p.scraper.url = strings.TrimSuffix(p.config.Server, "/") + "/metrics"
	}
	if sameHost(p.scraper.url, p.target.URL) {
		p.scraper.header = p.config.Header
	}
	counters, err := p.scraper.read(ctx)
	switch {
	case err != nil && p.config.Metrics == "":
		p.notes = append(p.notes, "the server's own figures are missing: "+err.Error())
		p.scraper.url = ""
		return nil
	case err == nil && p.checker.fovea && len(counters.stages) == 0: // though the probes were answered
		p.notes = append(p.notes, fmt.Sprintf("%s counts no stages: the CPU time and memory are those of what stands before "+
			"Fovea there, such as the supervisor's gateway; give a replica's as metrics", p.scraper.url))
	}
	return err
}

// sameHost tells whether one server answers both URLs, which then may see the same headers.
func sameHost(a, b string) bool {
	one, err1 := url.Parse(a)
	other, err2 := url.Parse(b)
	return err1 == nil && err2 == nil && one.Scheme == other.Scheme && one.Host == other.Host
}
