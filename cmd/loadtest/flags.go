package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	"fovea/loadtest"

	"github.com/spf13/pflag"
)

// options are the flags of a load test.
type options struct {
	config      loadtest.Config
	thresholds  loadtest.Thresholds
	concurrency string
	rates       string
	arrivals    string
	body        string
	template    string
	expect      string
	headers     []string
	outputs     outputs
	quiet       bool
	gpu         bool
}

func (o *options) add(f *pflag.FlagSet) {
	o.config = loadtest.Default()
	c := &o.config
	f.StringVar(&c.Server, "server", c.Server, "base URL of a Fovea server")
	f.StringVar(&c.Model, "model", "", "model of the Fovea server (default: its default model)")
	f.StringVar(&c.URL, "url", "", "full URL of another server's route, instead of --server")
	f.StringArrayVar(&o.headers, "header", nil, "header of every request to the server, such as 'Authorization: Bearer …'; may be repeated")
	f.StringVar(&c.Images, "images", c.Images, "folder of images, or one image")
	f.StringVar(&o.body, "body", string(c.Body.Kind), "how images are sent: raw, multipart, json (Fovea's) or template")
	f.StringVar(&c.Body.Field, "field", c.Body.Field, "name of multipart parts")
	f.StringVar(&o.template, "template", "", "file with the text/template of a body: {{.Base64}}, {{.Name}}, {{.Bytes}}, {{range .Images}}; implies --body template")
	f.StringVar(&c.Body.ContentType, "content-type", "", "content type of bodies (default: the image's, or that of --body)")
	f.IntVar(&c.Body.Images, "images-per-request", c.Body.Images, "images a request")
	f.StringVar(&o.expect, "expect", "", "CSV file with lines image.jpg,class: answers with another class are failures")
	f.StringVar(&c.Expect.At, "expect-at", "", "where an answer holds the class, such as predictions.{i}.top.0.class (default: Fovea's)")

	f.StringVar(&o.concurrency, "concurrency", "1..32", "closed loop: requests under way at once, such as 1,4,16; 1..32 doubles from 1 to 32")
	f.StringVar(&o.rates, "rate", "", "open loop instead: requests a second, such as 50,100")
	f.StringVar(&o.arrivals, "arrivals", string(c.Arrivals), "of an open loop: constant or poisson")
	f.Uint64Var(&c.Seed, "seed", c.Seed, "of Poisson arrivals")
	f.DurationVar(&c.P99Below, "p99-below", 0, "search the highest rate whose p99 stays below, instead of given levels")
	f.Float64Var(&c.Precision, "precision", c.Precision, "of the search, as a share of the rate")
	f.IntVar(&c.MaxInFlight, "max-in-flight", c.MaxInFlight, "of an open loop: requests under way at once; later ones wait, and their wait counts")

	f.DurationVar(&c.Warmup, "warmup", c.Warmup, "load before each level of which only failures are counted")
	f.DurationVar(&c.Window, "window", c.Window, "length of a window")
	f.IntVar(&c.WindowCount, "window-count", c.WindowCount, "answers that a window wants; it waits for them up to five times its length")
	f.IntVar(&c.MaxWindows, "max-windows", c.MaxWindows, "windows after which a level ends even if it is not stable")
	f.Float64Var(&c.Tolerance, "tolerance", c.Tolerance, "how far three windows in a row may differ in throughput and p99")
	f.DurationVar(&c.Timeout, "timeout", c.Timeout, "of one request")

	f.StringVar(&c.Metrics, "metrics", "", "URL of the server's Prometheus metrics, or none (default: /metrics of --server)")
	f.BoolVar(&o.gpu, "gpu", c.GPU, "sample this machine's GPUs, if there are any")
	f.StringVar(&c.NVML, "nvml", "", "path of NVML's library (default: the system's)")
	f.DurationVar(&c.GPUInterval, "gpu-interval", c.GPUInterval, "between samples of the GPUs")

	t := &o.thresholds
	f.Float64Var(&t.MinThroughput, "min-throughput", 0, "exit 1 if no level reaches so many images a second")
	f.DurationVar(&t.MaxP99, "max-p99", 0, "exit 1 if a level's p99 is above")
	f.Float64Var(&t.MaxErrors, "max-error-rate", 0, "exit 1 if more than this share of a level's images fails; the search goes by it too")
	f.Float64Var(&t.MinRate, "min-rate", 0, "exit 1 if the search finds no rate so high")
	f.BoolVar(&t.Stable, "stable", false, "exit 1 if a level is not stable")

	f.StringVar(&c.Label, "label", "", "name of the result in comparisons")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "show no progress")
	o.outputs.add(f)
}

// read makes the configuration of the flags, and tells all mistakes at once.
func (o *options) read(f *pflag.FlagSet) error {
	var errs []error
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	c := &o.config
	c.GPU, c.Arrivals, c.Body.Kind = o.gpu, loadtest.Arrivals(o.arrivals), loadtest.BodyKind(o.body)
	keep(o.levels(f))
	keep(o.files(f))
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			errs = append(errs, fmt.Errorf("header: %q is not of the form Name: value", h))
			continue
		}
		c.Header[http.CanonicalHeaderKey(name)] = append(c.Header[http.CanonicalHeaderKey(name)], strings.TrimSpace(value))
	}
	c.MaxErrors = o.thresholds.MaxErrors
	keep(c.Validate())
	keep(o.thresholds.Validate())
	if o.thresholds.MinRate > 0 && c.P99Below == 0 {
		errs = append(errs, errors.New("min-rate: only a search, by p99-below, finds a rate"))
	}
	keep(o.outputs.check())
	return errors.Join(errs...)
}

// levels reads what to send: concurrencies, or rates, or a search.
func (o *options) levels(f *pflag.FlagSet) error {
	var errs []error
	c := &o.config
	given := f.Changed("concurrency")
	if given && (o.rates != "" || c.P99Below > 0) {
		errs = append(errs, errors.New("concurrency: give either levels of concurrency, or rates, or p99-below"))
	}
	if o.rates != "" && c.P99Below > 0 {
		errs = append(errs, errors.New("rate: give either rates or p99-below"))
	}
	c.Concurrency = nil
	var err error
	switch {
	case o.rates != "":
		c.Rates, err = parseRates(o.rates)
	case c.P99Below == 0:
		c.Concurrency, err = parseConcurrency(o.concurrency)
	}
	return errors.Join(append(errs, err)...)
}

// files reads the template and the expectations.
func (o *options) files(f *pflag.FlagSet) error {
	var errs []error
	c := &o.config
	if o.template != "" {
		text, err := os.ReadFile(o.template)
		if err != nil {
			errs = append(errs, fmt.Errorf("template: %w", err))
		} else {
			c.Body.Template = string(text)
		}
		if !f.Changed("body") {
			c.Body.Kind = loadtest.Templated
		}
	}
	if o.expect != "" {
		file, err := os.Open(o.expect)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("expect: %w", err))...)
		}
		defer file.Close()
		if c.Expect.Classes, err = loadtest.ReadExpected(file); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func parseRates(text string) ([]float64, error) {
	var rates []float64
	for part := range strings.SplitSeq(text, ",") {
		rate, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil {
			return nil, fmt.Errorf("rate: %q is no number", part)
		}
		rates = append(rates, rate)
	}
	return rates, nil
}

// parseConcurrency reads "1,4,16", or "1..32", which doubles from the first to the last.
func parseConcurrency(text string) ([]int, error) {
	if from, to, ok := strings.Cut(text, ".."); ok {
		first, err1 := strconv.Atoi(strings.TrimSpace(from))
		last, err2 := strconv.Atoi(strings.TrimSpace(to))
		if err1 != nil || err2 != nil || first < 1 || last < first || last > 1_000_000 {
			return nil, fmt.Errorf("concurrency: %q is no range such as 1..32", text)
		}
		levels := []int{}
		for n := first; n < last; n *= 2 {
			levels = append(levels, n)
		}
		return append(levels, last), nil
	}
	var levels []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("concurrency: %q is no number", part)
		}
		levels = append(levels, n)
	}
	return levels, nil
}
