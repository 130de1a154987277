package api

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"time"

	"fovea/internal/cors"
)

// Config is how the server speaks HTTP. Sizes are in bytes.
type Config struct {
	Address       string        `yaml:"address" usage:"host:port to listen on"`
	Timeout       time.Duration `yaml:"timeout" usage:"time for the images of a request to be answered, from the end of its body"`
	BodyTimeout   time.Duration `yaml:"body_timeout" usage:"time for the body of a request to arrive"`
	MaxImageBytes int64         `yaml:"max_image_bytes" usage:"bytes of one encoded image"`
	MaxBodyBytes  int64         `yaml:"max_body_bytes" usage:"bytes of a body that holds several images (multipart or JSON)"`
	MaxImages     int           `yaml:"max_images" usage:"images in one request"`
	MaxRequests   int64         `yaml:"max_requests" usage:"requests for predictions in flight; beyond it the slowest body that is still arriving gives way, or more are refused with 429"`
	BodyBudget    int64         `yaml:"body_budget" usage:"bytes of bodies that have arrived, over all requests in flight; beyond it slow bodies give way, or more are refused with 429"`
	MinBodyRate   int64         `yaml:"min_body_rate" usage:"bytes a second that a body must keep up, after 5s; 0: any"`
	ClientShare   float64       `yaml:"client_share" usage:"part of max_requests and body_budget that one client address (IPv6: a /64) may hold when others need it; 1: all, for a server behind a proxy"`
	CORS          string        `yaml:"cors" usage:"origins whose web pages may ask and read answers, as https://app.example with commas between; *: any; or none"`
	ReadAhead     int64         `yaml:"read_ahead" usage:"bytes of bodies in memory whose images are not decoded yet; more wait in the network. 0: 16 MiB a core"`
}

// Defaults returns the configuration that holds where nothing else is said.
func Defaults() Config {
	return Config{
		Address:       "127.0.0.1:8000",
		Timeout:       10 * time.Second,
		BodyTimeout:   10 * time.Second,
		MaxImageBytes: 16 << 20,
		MaxBodyBytes:  64 << 20,
		MaxImages:     64,
		MaxRequests:   1024,
		BodyBudget:    1 << 30,
		MinBodyRate:   1 << 10,
		ClientShare:   0.25,
		CORS:          cors.Any,
	}
}

// Validate returns all mistakes, each naming its key.
func (c Config) Validate() error {
	var mistakes []error
	wrong := func(key, format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if _, port, err := net.SplitHostPort(c.Address); err != nil {
		wrong("address", "%q is not host:port", c.Address)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		wrong("address", "port %q is not between 0 and 65535", port)
	}
	durations := []struct {
		key   string
		value time.Duration
	}{{"timeout", c.Timeout}, {"body_timeout", c.BodyTimeout}}
	for _, d := range durations {
		if d.value < time.Millisecond || d.value > time.Hour {
			wrong(d.key, "%s is not between 1ms and 1h", d.value)
		}
	}
	numbers := []struct {
		key              string
		value, low, high int64
	}{
		{"max_image_bytes", c.MaxImageBytes, 1, 1 << 30},
		{"max_body_bytes", c.MaxBodyBytes, 1, 1 << 32},
		{"max_images", int64(c.MaxImages), 1, 4096},
		{"max_requests", c.MaxRequests, 1, 1 << 20},
		{"body_budget", c.BodyBudget, 1, 1 << 40},
		{"min_body_rate", c.MinBodyRate, 0, 1 << 30},
		{"read_ahead", c.ReadAhead, 0, 1 << 40},
	}
	for _, n := range numbers {
		if n.value < n.low || n.value > n.high {
			wrong(n.key, "%d is not between %d and %d", n.value, n.low, n.high)
		}
	}
	if _, err := cors.Parse(c.CORS); err != nil {
		wrong("cors", "%s", err)
	}
	if !(c.ClientShare > 0 && c.ClientShare <= 1) { // nor NaN
		wrong("client_share", "%v is not above 0 and at most 1", c.ClientShare)
	}
	if c.BodyBudget < max(c.MaxBodyBytes, c.MaxImageBytes) {
		wrong("body_budget", "%d is less than one body may have (%d)", c.BodyBudget, max(c.MaxBodyBytes, c.MaxImageBytes))
	}
	return errors.Join(mistakes...)
}

// readAhead is how many bytes of bodies are read before their images are decoded.
func (c Config) readAhead() int64 {
	if c.ReadAhead > 0 {
		return c.ReadAhead
	}
	return int64(runtime.GOMAXPROCS(0)) * 16 << 20 // a core decodes one while the next ones, even the largest, come in
}
