package access

import (
	"fmt"
	"net/netip"

	"fovea/internal/config"
	"fovea/internal/ratelimit"
)

// Config is the part of a server's configuration that says who may use it.
type Config struct {
	Keys           string   `yaml:"keys" help:"file of API keys (see serve keys new); setting it requires a key; re-read when it changes"`
	OpenMetrics    bool     `yaml:"open_metrics" help:"with keys, allow /metrics without one"`
	TrustedProxies []string `yaml:"trusted_proxies" help:"addresses and networks, such as 10.0.0.0/8, of proxies whose X-Forwarded-For is believed"`
	Rate           Rate     `yaml:"rate"`
}

// Rate is the limit of a client without its own.
type Rate struct {
	Limit float64 `yaml:"limit" range:"0..1000000" help:"maximum requests per second of a key that sets no rate, or without keys of a client address (IPv6: a /64); 0: no limit"`
	Burst int     `yaml:"burst" range:"0..1000000" help:"maximum requests at once; 0: those of a second, at least one"`
}

func (r Rate) rate() ratelimit.Rate { return ratelimit.Rate{PerSecond: r.Limit, Burst: r.Burst} }

// Check implements config.Checker.
func (c Config) Check(errs *config.Errors) {
	if c.OpenMetrics && c.Keys == "" {
		errs.Add("open_metrics", "has no effect without keys")
	}
	if c.Rate.Burst > 0 && c.Rate.Limit == 0 {
		errs.Add("rate.burst", "has no effect without rate.limit")
	}
	for i, text := range c.TrustedProxies {
		if _, err := parseNetwork(text); err != nil {
			errs.Add(config.Index("trusted_proxies", i), "%w", err)
		}
	}
}

// parseNetwork reads a network, or an address.
func parseNetwork(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.Prefix{}, fmt.Errorf("%.60q is neither an address nor a network such as 10.0.0.0/8", text)
}
