package loadtest

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fovea/internal/config"
)

// Config is what a load test sends, where, and when its figures count as stable. The tags name the flags of command
// loadtest.
type Config struct {
	Label string `yaml:"label" help:"name of the result in comparisons"`

	Server string      `yaml:"server" help:"base URL of a Fovea server, or with v2 of any server of the Open Inference Protocol"`
	Model  string      `yaml:"model" help:"model of the server; empty: the default model of a Fovea server"`
	URL    string      `yaml:"url" help:"full URL of another server's route, instead of --server"`
	Header http.Header `yaml:"-"` // of every request, but of those for metrics only if they go to the same host

	RootCAs *x509.CertPool `yaml:"-"` // of the server's certificate; nil: the system's

	Protocol Protocol `yaml:"protocol" oneof:"v1,v2-http,v2-grpc" help:"v1 is Fovea's own; v2-http and v2-grpc are the Open Inference Protocol"`
	V2       V2Config `yaml:",inline"`

	Images string      `yaml:"images" help:"folder of images, or one image"`
	Body   BodyConfig  `yaml:",inline"`
	Expect Expectation `yaml:",inline"`

	Concurrency Levels        `yaml:"concurrency" range:"1..10000" help:"closed loop: concurrent requests, such as 1,4,16; 1..32 doubles from 1 to 32"`
	Rates       []float64     `yaml:"rate" range:"0.1..1000000" help:"open loop instead: requests per second, such as 50,100"`
	Arrivals    Arrivals      `yaml:"arrivals" oneof:"constant,poisson" help:"arrival process of an open loop"`
	P99Below    time.Duration `yaml:"p99-below" range:"0s..10m" help:"find the highest rate whose p99 stays below this, instead of given levels"`
	Precision   float64       `yaml:"precision" range:"0.001..0.5" help:"precision of the search, as a share of the rate"`

	Warmup      time.Duration `yaml:"warmup" range:"0s..1h" help:"warm-up before each level; its failures count, its latencies do not"`
	Window      time.Duration `yaml:"window" range:"10ms..1h" help:"minimum length of a window"`
	WindowCount int           `yaml:"window-count" range:"1..1000000" help:"responses per window; a window waits for them up to five times its length"`
	MaxWindows  int           `yaml:"max-windows" range:"3..1000" help:"windows after which a level ends without being stable"`
	Tolerance   float64       `yaml:"tolerance" range:">0..1" help:"how far three consecutive windows may differ in throughput and p99"`

	Timeout     time.Duration `yaml:"timeout" range:">0s..10m" help:"time limit of one request"`
	MaxInFlight int           `yaml:"max-in-flight" range:"1..100000" help:"maximum concurrent requests in an open loop; excess requests wait; the wait is part of their latency"`
	MaxErrors   float64       `yaml:"-"` // share of failed requests that the search allows
	Seed        uint64        `yaml:"seed" help:"seed of Poisson arrivals and random tensors"`

	Metrics     string        `yaml:"metrics" help:"URL of the server's Prometheus metrics, or none; empty: /metrics of --server"`
	GPU         bool          `yaml:"gpu" help:"sample this machine's GPUs, if there are any"`
	NVML        string        `yaml:"nvml" help:"path of NVML's library; empty: the system's"`
	GPUInterval time.Duration `yaml:"gpu-interval" help:"interval between samples of the GPUs"`
}

// Default returns a closed loop of 1 to 32 concurrent requests against a Fovea server on this machine.
func Default() Config {
	return Config{
		Server: "http://127.0.0.1:8000", Header: http.Header{}, Images: "testdata/images",
		Protocol: V1, V2: V2Config{GRPC: "http://127.0.0.1:8001", Input: EncodedImages},
		Body: BodyConfig{Kind: Raw, Field: "image", Images: 1}, Concurrency: Levels{1, 2, 4, 8, 16, 32}, Arrivals: Constant,
		Precision: 0.05, Warmup: time.Second, Window: 2 * time.Second, WindowCount: 100, MaxWindows: 10, Tolerance: 0.1,
		Timeout: 10 * time.Second, MaxInFlight: 1024, Seed: 1, GPU: true, GPUInterval: 200 * time.Millisecond,
	}
}

// Check implements config.Checker.
func (c Config) Check(errs *config.Errors) {
	checkURL(errs, "server", c.Server, c.URL == "")
	checkURL(errs, "url", c.URL, false)
	if c.Metrics != "none" {
		checkURL(errs, "metrics", c.Metrics, false)
	}
	if c.URL != "" && c.Model != "" {
		errs.Add("model", "only a Fovea server is asked for a model; put it into url")
	}
	c.checkProtocol(errs)
	if c.Header.Values("Content-Type") != nil {
		errs.Add("header", "use content-type for the content type of bodies")
	}
	if c.Images == "" {
		errs.Add("images", "is required: a folder of images, or one image")
	}
	if len(c.Concurrency)+len(c.Rates) == 0 && c.P99Below == 0 {
		errs.Add("concurrency", "is required, or rate, or p99-below")
	}
	if c.P99Below >= c.Timeout {
		errs.Add("p99-below", "%s is not below the timeout of a request (%s)", config.Format(c.P99Below), config.Format(c.Timeout))
	}
	config.Range(errs, "max-error-rate", c.MaxErrors, 0, 1)
	if c.GPU {
		config.Range(errs, "gpu-interval", c.GPUInterval, 10*time.Millisecond, time.Hour)
	}
}

func checkURL(errs *config.Errors, key, text string, required bool) {
	if text == "" && !required {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		errs.Add(key, "%q is not a URL such as http://127.0.0.1:8000", text)
	case u.Fragment != "":
		errs.Add(key, "%q has a fragment, which is never sent to a server", text)
	}
}

// Levels are concurrencies of a closed loop.
type Levels []int

// UnmarshalText reads "1,4,16", or "1..32", which doubles from the first to the last.
func (l *Levels) UnmarshalText(text []byte) error {
	*l = nil
	if from, to, ok := strings.Cut(string(text), ".."); ok {
		first, err1 := strconv.Atoi(strings.TrimSpace(from))
		last, err2 := strconv.Atoi(strings.TrimSpace(to))
		if err1 != nil || err2 != nil || first < 1 || last < first || last > 1_000_000 {
			return fmt.Errorf("%q is not a range such as 1..32", text)
		}
		for n := first; n < last; n *= 2 {
			*l = append(*l, n)
		}
		*l = append(*l, last)
		return nil
	}
	for part := range strings.SplitSeq(string(text), ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return fmt.Errorf("%q is not a whole number", part)
		}
		*l = append(*l, n)
	}
	return nil
}
