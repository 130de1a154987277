package api

import (
	"net"
	"net/netip"
	"time"

	"fovea/internal/access"
	"fovea/internal/config"
	"fovea/internal/cores"
	"fovea/internal/cors"
	"fovea/internal/imageurl"
	"fovea/internal/tlsfiles"
)

// Config is section http of the server's configuration.
type Config struct {
	Address       string        `yaml:"address" help:"host:port to listen on"`
	Timeout       time.Duration `yaml:"timeout" range:"1ms..1h" help:"time limit for the predictions of a request, from the end of its body"`
	BodyTimeout   time.Duration `yaml:"body_timeout" range:"1ms..1h" help:"time limit for receiving a request body"`
	MaxImageBytes config.Size   `yaml:"max_image_bytes" range:"1B..1GiB" help:"maximum size of one encoded image"`
	MaxBodyBytes  config.Size   `yaml:"max_body_bytes" range:"1B..4GiB" help:"maximum size of a body with several images (multipart or JSON)"`
	MaxImages     int           `yaml:"max_images" range:"1..4096" help:"maximum images per request"`
	MaxRequests   int64         `yaml:"max_requests" range:"1..1048576" help:"maximum prediction requests in flight; beyond it, the slowest body still arriving is displaced, or new requests get 429"`
	BodyBudget    config.Size   `yaml:"body_budget" range:"0..1TiB" help:"maximum body bytes in memory over all requests; beyond it, slow bodies are displaced, or new requests get 429; 0: 1GiB, or less where a quarter of the control group's memory limit is less"`
	MinBodyRate   config.Size   `yaml:"min_body_rate" range:"0..1GiB" help:"minimum bytes per second of a body after its first 5s; 0: no minimum"`
	ClientShare   float64       `yaml:"client_share" range:">0..1" help:"share of max_requests, body_budget and a model's queue that one API key, or one client address (IPv6: a /64), may hold under contention; 1 for a proxy not in trusted_proxies"`
	CORS          string        `yaml:"cors" help:"origins allowed by CORS, separated by commas, such as https://app.example; * allows all, none disables CORS"`
	NoH2C         bool          `yaml:"no_h2c" help:"without TLS, refuse HTTP/2 by prior knowledge (h2c)"`
	ReadAhead     config.Size   `yaml:"read_ahead" range:"0..1TiB" help:"maximum body bytes in memory that are not decoded yet; further bodies wait in the network; 0: 16MiB per core"`

	Playground string `yaml:"playground" oneof:"auto,on,off" help:"page at / on which models can be tried in a browser; auto: only if address is one of this machine alone (loopback)"`

	Access access.Config `yaml:",inline"`

	ImageURLs imageurl.Config `yaml:"image_urls"`

	TLS tlsfiles.Config `yaml:"tls"`
}

// Defaults returns the default configuration.
func Defaults() Config {
	return Config{
		Address:       "127.0.0.1:8000",
		Timeout:       10 * time.Second,
		BodyTimeout:   10 * time.Second,
		MaxImageBytes: 16 << 20,
		MaxBodyBytes:  64 << 20,
		MaxImages:     64,
		MaxRequests:   1024,
		MinBodyRate:   1 << 10,
		ClientShare:   0.25,
		CORS:          cors.Any,
		Playground:    playgroundAuto,
		ImageURLs:     imageurl.Defaults(),
	}
}

// The values of Config.Playground.
const (
	playgroundAuto = "auto"
	playgroundOn   = "on"
)

// ServesPlayground reports whether the page is served.
func (c Config) ServesPlayground() bool {
	return c.Playground == playgroundOn || c.Playground == playgroundAuto && isLoopback(c.Address)
}

// isLoopback reports whether only this machine can reach an address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost"
}

// Check implements config.Checker.
func (c Config) Check(errs *config.Errors) {
	errs.Address("address", c.Address)
	if _, err := cors.Parse(c.CORS); err != nil {
		errs.Add("cors", "%w", err)
	}
	if c.BodyBudget > 0 && c.BodyBudget < c.largestBody() {
		errs.Add("body_budget", "%s is less than the largest body allowed (%s)", c.BodyBudget, c.largestBody())
	}
}

// largestBody is the limit on one body, of any kind.
func (c Config) largestBody() config.Size { return max(c.MaxBodyBytes, c.MaxImageBytes) }

// maxBodyBudget is the largest body budget that is chosen without being configured, unless one body may be larger.
const maxBodyBudget = 1 << 30

// bodyBudget is the limit in bytes on bodies in memory: at least the largest body.
func (c Config) bodyBudget(memoryLimit int64) int64 {
	if c.BodyBudget > 0 {
		return int64(c.BodyBudget)
	}
	budget := int64(maxBodyBudget)
	if memoryLimit > 0 {
		budget = min(budget, memoryLimit/4)
	}
	return max(budget, int64(c.largestBody()))
}

// readAhead is the limit in bytes on bodies that are read before their images are decoded.
func (c Config) readAhead() int64 {
	if c.ReadAhead > 0 {
		return int64(c.ReadAhead)
	}
	return int64(cores.Count()) * 16 << 20 // a core decodes one while the next ones, even the largest, come in
}
