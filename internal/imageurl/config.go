// Package imageurl fetches images from addresses that clients name, so that no client makes the server reach what it may not:
// hosts are on an allow-list, each address is checked after it was resolved and is the one that is connected to, redirects are
// checked alike, and bytes and time are bounded. It is pure Go.
package imageurl

import (
	"strconv"
	"strings"
	"time"

	"fovea/internal/config"
)

// Config is section http.image_urls of the server's configuration.
type Config struct {
	Hosts     []string      `yaml:"hosts" help:"hosts that images may be fetched from, such as images.example.com, *.example.com for all below it, or with a port; none: images by URL are refused"`
	Timeout   time.Duration `yaml:"timeout" range:"100ms..10m" help:"time limit for fetching all images of a request"`
	Redirects int           `yaml:"redirects" range:"0..10" help:"maximum redirects of an image, each to an allowed host"`
	HTTP      bool          `yaml:"http" help:"also allow http, which anyone on the way can read and change"`
}

// Defaults returns the default configuration, which refuses all.
func Defaults() Config { return Config{Timeout: 5 * time.Second, Redirects: 3} }

// Check implements config.Checker.
func (c Config) Check(errs *config.Errors) {
	for _, text := range c.Hosts {
		if _, ok := parsePattern(text); !ok {
			errs.Add("hosts", "%q is not a host name such as images.example.com, *.example.com or images.example.com:8443", text)
		}
	}
}

// pattern is an allowed host.
type pattern struct {
	name  string // in lower case
	below bool   // the hosts below name, and not name itself
	port  string // "": the scheme's
}

func parsePattern(text string) (pattern, bool) {
	name, port, hasPort := strings.Cut(text, ":")
	if n, err := strconv.ParseUint(port, 10, 16); hasPort && (err != nil || n == 0) {
		return pattern{}, false
	}
	name, below := strings.CutPrefix(name, "*.")
	name = strings.ToLower(name)
	return pattern{name, below, port}, isHostName(name)
}

// isHostName reports whether a name has the letters of DNS names, a dot, and an end that is none of an address: digits, or
// hexadecimal digits after 0x, are parsed as such by some resolvers.
func isHostName(name string) bool {
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || label[0] == '-' {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(name) <= 253 && len(labels) > 1 && strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}

// allows reports whether a host and port are these.
func (p pattern) allows(host, port, schemePort string) bool {
	wanted := p.port
	if wanted == "" {
		wanted = schemePort
	}
	if port != wanted {
		return false
	}
	if p.below {
		return strings.HasSuffix(host, "."+p.name)
	}
	return host == p.name
}
