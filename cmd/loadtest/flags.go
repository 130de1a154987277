package main

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"

	"fovea/internal/config"
	"fovea/loadtest"

	"github.com/spf13/pflag"
)

// options are the flags of a load test, named by their tags.
type options struct {
	loadtest.Config `yaml:",inline"`
	Headers         headers             `yaml:"header" help:"header of every request to the server, such as 'Authorization: Bearer …'; may be repeated"`
	APIKeyFile      string              `yaml:"api-key-file" help:"file with the API key for the server; empty: without --url the environment variable FOVEA_API_KEY, if it is set"`
	CAFile          string              `yaml:"ca-file" help:"PEM file with the certificate authorities of the server's certificate; empty: the system's"`
	Template        string              `yaml:"template" help:"file with a text/template of bodies: {{.Base64}}, {{.Name}}, {{.Bytes}}, {{range .Images}}; implies --body template"`
	Expected        string              `yaml:"expect" help:"CSV file with lines image.jpg,class; any other class counts as a failure"`
	Thresholds      loadtest.Thresholds `yaml:",inline"`
	Outputs         outputs             `yaml:",inline"`
	Quiet           bool                `yaml:"quiet" short:"q" help:"show no progress"`
}

func newOptions() *options { return &options{Config: loadtest.Default()} }

// read makes the configuration of the flags. All errors are reported together.
func (o *options) read(f *pflag.FlagSet) error {
	report := config.Read(o, config.Sources{Flags: f})
	o.Config.Header, o.Config.MaxErrors = http.Header(o.Headers), o.Thresholds.MaxErrors
	var errs config.Errors
	o.levels(f, &errs)
	o.files(f, &errs)
	o.security(&errs)
	if o.Thresholds.MinRate > 0 && o.P99Below == 0 {
		errs.Add("min-rate", "requires p99-below: only a search finds a rate")
	}
	report.Add(errs)
	return report.Check(o)
}

// levels chooses between concurrencies, rates and a search.
func (o *options) levels(f *pflag.FlagSet, errs *config.Errors) {
	others := f.Changed("rate") || o.P99Below > 0
	if others && f.Changed("concurrency") {
		errs.Add("concurrency", "give only one of concurrency, rate and p99-below")
	}
	if f.Changed("rate") && o.P99Below > 0 {
		errs.Add("rate", "give only one of rate and p99-below")
	}
	if others {
		o.Concurrency = nil
	}
}

// files reads the template and the expected classes.
func (o *options) files(f *pflag.FlagSet, errs *config.Errors) {
	if o.Template != "" {
		text, err := os.ReadFile(o.Template)
		if err != nil {
			errs.Add("template", "%w", err)
		}
		o.Body.Template = string(text)
		if !f.Changed("body") {
			o.Body.Kind = loadtest.Templated
		}
	}
	if o.Expected == "" {
		return
	}
	file, err := os.Open(o.Expected)
	if err != nil {
		errs.Add("expect", "%w", err)
		return
	}
	defer file.Close()
	if o.Expect.Classes, err = loadtest.ReadExpected(file); err != nil {
		errs.Add("expect", "%w", err)
	}
}

// keyVariable is the environment variable with the API key.
const keyVariable = "FOVEA_API_KEY"

// security reads the API key and the certificate authorities.
func (o *options) security(errs *config.Errors) {
	if key := o.apiKey(errs); key != "" {
		if o.Config.Header == nil {
			o.Config.Header = http.Header{}
		}
		o.Config.Header.Set("Authorization", "Bearer "+key)
	}
	if o.CAFile == "" {
		return
	}
	text, err := os.ReadFile(o.CAFile)
	o.RootCAs = x509.NewCertPool()
	switch {
	case err != nil:
		errs.Add("ca-file", "%w", err)
	case !o.RootCAs.AppendCertsFromPEM(text):
		errs.Add("ca-file", "%s has no certificate in PEM form", o.CAFile)
	}
}

// apiKey returns the API key; empty if there is none. A header given by the user takes precedence over the environment, whose key is
// for no other server. Errors do not show the key.
func (o *options) apiKey(errs *config.Errors) string {
	given := http.Header(o.Headers)
	hasHeader := given.Get("Authorization") != "" || given.Get("X-API-Key") != ""
	key, name, from := strings.TrimSpace(os.Getenv(keyVariable)), "api-key-file", keyVariable
	if o.APIKeyFile != "" {
		text, err := os.ReadFile(o.APIKeyFile)
		if err != nil {
			errs.Add(name, "%w", err)
			return ""
		}
		key, from = strings.TrimSpace(string(text)), o.APIKeyFile
		switch {
		case hasHeader:
			errs.Add(name, "give only one of api-key-file and a header with a key")
		case key == "":
			errs.Add(name, "%s is empty", from)
		}
	} else if hasHeader || o.URL != "" {
		return ""
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		errs.Add(name, "%s does not hold one key alone: there are spaces, line breaks or characters other than ASCII in it", from)
		return ""
	}
	return key
}

// headers are collected from repeated flags.
type headers http.Header

// UnmarshalText adds NAME: VALUE.
func (h *headers) UnmarshalText(text []byte) error {
	name, value, ok := strings.Cut(string(text), ":")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return fmt.Errorf("%q is not NAME: VALUE", text)
	}
	if *h == nil {
		*h = headers{}
	}
	http.Header(*h).Add(name, strings.TrimSpace(value))
	return nil
}
