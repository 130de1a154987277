package loadtest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Config says what to send, where, and how the result is judged to be stable.
type Config struct {
	Label string // names the result in comparisons

	Server string      // base URL of a Fovea server; unused if URL is given
	Model  string      // of the Fovea server; empty: its default model
	URL    string      // full URL of any other server's route; empty: a Fovea server at Server
	Header http.Header // of every request, but of those for metrics only if they go to the same host

	Images string // a folder of images, or one image
	Body   BodyConfig
	Expect Expectation

	Concurrency []int // closed loop: levels of requests under way at once
	Rates       []float64
	Arrivals    Arrivals      // of Rates and of the search
	P99Below    time.Duration // search the highest rate whose p99 stays below; 0: no search
	Precision   float64       // the search ends when its bounds are so near, as a share of the rate

	Warmup      time.Duration // sent before each level; of its answers only failures count
	Window      time.Duration // at least, until WindowCount answers are there
	WindowCount int           // answers that a window wants; it waits for them up to five times its length
	MaxWindows  int
	Tolerance   float64 // how far windows may differ and still agree: largest / smallest ≤ 1 + Tolerance

	Timeout     time.Duration // of one request
	MaxInFlight int           // requests under way at once in open loop; later ones wait, and their wait counts
	MaxErrors   float64       // share of failed requests that the search allows
	Seed        uint64        // of Poisson arrivals

	Metrics     string // URL of Prometheus metrics; empty: Server's /metrics, none for another server; "none": none
	GPU         bool
	NVML        string        // path of NVML's library; empty: the system's
	GPUInterval time.Duration // between samples of the GPUs
}

// Default is a closed loop of 1 to 32 requests under way against a Fovea server on this machine.
func Default() Config {
	return Config{
		Server: "http://127.0.0.1:8000", Header: http.Header{}, Images: "testdata/images",
		Body: BodyConfig{Kind: Raw, Field: "image", Images: 1}, Concurrency: []int{1, 2, 4, 8, 16, 32}, Arrivals: Constant,
		Precision: 0.05, Warmup: time.Second, Window: 2 * time.Second, WindowCount: 100, MaxWindows: 10, Tolerance: 0.1,
		Timeout: 10 * time.Second, MaxInFlight: 1024, Seed: 1, GPU: true, GPUInterval: 200 * time.Millisecond,
	}
}

// Validate tells all mistakes at once, each by its key.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	errs = append(errs, address("server", c.Server, c.URL == ""), address("url", c.URL, false), c.Body.validate())
	if c.Metrics != "none" {
		errs = append(errs, address("metrics", c.Metrics, false))
	}
	check(c.URL == "" || c.Model == "", "model: only a Fovea server is asked for a model; put it into url")
	check(c.Header.Values("Content-Type") == nil, "header: the content type of bodies is given by content-type")
	check(c.Images != "", "images: name a folder of images, or one")
	check(len(c.Concurrency)+len(c.Rates) > 0 || c.P99Below > 0, "concurrency: give levels, or rates, or p99-below")
	for _, n := range c.Concurrency {
		check(n >= 1 && n <= 10_000, "concurrency: %d is not in 1 to 10000", n)
	}
	for _, r := range c.Rates {
		check(r >= 0.1 && r <= 1_000_000, "rate: %g is not in 0.1 to 1000000 requests a second", r)
	}
	check(c.Arrivals == Constant || c.Arrivals == Poisson, "arrivals: %q is neither constant nor poisson", c.Arrivals)
	check(c.P99Below >= 0, "p99-below: %s is negative", c.P99Below)
	check(c.P99Below < c.Timeout, "p99-below: %s is not below the timeout of a request, %s", c.P99Below, c.Timeout)
	check(c.Precision >= 0.001 && c.Precision <= 0.5, "precision: %g is not in 0.001 to 0.5", c.Precision)
	check(c.Warmup >= 0 && c.Warmup <= time.Hour, "warmup: %s is not in 0 to 1h", c.Warmup)
	check(c.Window >= 10*time.Millisecond && c.Window <= time.Hour, "window: %s is not in 10ms to 1h", c.Window)
	check(c.WindowCount >= 1, "window-count: %d is not positive", c.WindowCount)
	check(c.MaxWindows >= stableWindows && c.MaxWindows <= 1000, "max-windows: %d is not in %d to 1000", c.MaxWindows, stableWindows)
	check(c.Tolerance > 0 && c.Tolerance <= 1, "tolerance: %g is not in 0 to 1, 0 excluded", c.Tolerance)
	check(c.Timeout > 0 && c.Timeout <= maxLatency, "timeout: %s is not in 0 to %s, 0 excluded", c.Timeout, maxLatency)
	check(c.MaxInFlight >= 1 && c.MaxInFlight <= 100_000, "max-in-flight: %d is not in 1 to 100000", c.MaxInFlight)
	check(c.MaxErrors >= 0 && c.MaxErrors <= 1, "max-error-rate: %g is not in 0 to 1", c.MaxErrors)
	check(!c.GPU || c.GPUInterval >= 10*time.Millisecond, "gpu-interval: %s is below 10ms", c.GPUInterval)
	return errors.Join(errs...)
}

func address(key, text string, required bool) error {
	if text == "" && !required {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return fmt.Errorf("%s: %q is no URL such as http://127.0.0.1:8000", key, text)
	case u.Fragment != "":
		return fmt.Errorf("%s: %q has a fragment, which no server would see", key, text)
	}
	return nil
}
