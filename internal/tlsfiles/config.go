package tlsfiles

import (
	"slices"

	"fovea/internal/config"
)

// Config is section tls of a server's configuration.
type Config struct {
	Certificate string   `yaml:"certificate" help:"PEM file with the certificate and its chain; setting it enables TLS; re-read when it changes"`
	Key         string   `yaml:"key" help:"PEM file with the certificate's private key"`
	ClientCA    string   `yaml:"client_ca" help:"PEM file with CAs; setting it requires a client certificate from one of them (mTLS)"`
	ClientNames []string `yaml:"client_names" help:"allowed names of client certificates: a DNS, URI or email name, or the common name of one without any; empty: all"`
}

// Enabled reports whether TLS is configured.
func (c Config) Enabled() bool { return c.Certificate != "" }

// Mutual reports whether clients need a certificate.
func (c Config) Mutual() bool { return c.ClientCA != "" }

// Check implements config.Checker.
func (c Config) Check(errs *config.Errors) {
	switch {
	case c.Certificate != "" && c.Key == "":
		errs.Add("key", "is required with certificate")
	case c.Certificate == "" && c.Key != "":
		errs.Add("certificate", "is required with key")
	}
	if c.Certificate == "" && c.ClientCA != "" {
		errs.Add("client_ca", "has no effect without certificate")
	}
	if c.ClientCA == "" && len(c.ClientNames) > 0 {
		errs.Add("client_names", "has no effect without client_ca")
	}
	if slices.Contains(c.ClientNames, "") {
		errs.Add("client_names", "contains an empty name")
	}
}
