package tracing

import (
	"net/url"

	"fovea/internal/config"
)

// Config is section traces of a configuration.
type Config struct {
	Endpoint    string  `yaml:"endpoint" help:"OTLP endpoint that traces are sent to, such as http://localhost:4318; empty: no traces"`
	Protocol    string  `yaml:"protocol" oneof:"http,grpc" help:"OTLP over HTTP (usually port 4318) or gRPC (4317)"`
	SampleRatio float64 `yaml:"sample_ratio" range:"0..1" help:"share of requests that are traced; a traceparent header decides for its own request"`
}

// Defaults returns the default configuration.
func Defaults() Config { return Config{Protocol: "http", SampleRatio: 0.01} }

// Check implements config.Checker.
func (c Config) Check(errs *config.Errors) {
	if c.Endpoint == "" {
		return
	}
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		errs.Add("endpoint", "must be http://HOST:PORT, or https:// for TLS")
	case u.User != nil:
		errs.Add("endpoint", "contains credentials; put them into a header with the variable OTEL_EXPORTER_OTLP_HEADERS")
	}
}
