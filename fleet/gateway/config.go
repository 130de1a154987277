package gateway

import (
	"time"

	"fovea/internal/access"
	"fovea/internal/config"
	"fovea/internal/cors"
	"fovea/internal/tlsfiles"
)

// Config is section gateway of the supervisor's configuration. The timeouts must be longer than the replicas' own, so that
// clients get a replica's response and not the gateway's.
type Config struct {
	BodyTimeout       time.Duration `yaml:"body_timeout" range:"1ms..1h"`        // for receiving a request body
	ResponseTimeout   time.Duration `yaml:"response_timeout" range:"1ms..1h"`    // for the first byte of a response, from the end of the request body
	DialTimeout       time.Duration `yaml:"dial_timeout" range:"1ms..1m"`        // for connecting to a backend
	IdleTimeout       time.Duration `yaml:"idle_timeout" range:"1ms..1h"`        // before an idle connection to a backend is closed; less than the backend's own (1m)
	UnresponsiveAfter time.Duration `yaml:"unresponsive_after" range:"10ms..1h"` // if a backend with requests in flight sends nothing for this long, not even to /health, retry them on another
	ReplayMemory      config.Size   `yaml:"replay_memory" range:"0..1TiB"`       // of request bodies kept for a retry; at most a quarter for one body
	MaxRequests       int64         `yaml:"max_requests" range:"1..1048576"`     // in flight; beyond it, the slowest body still arriving is dropped, or new requests get 503
	MinBodyRate       config.Size   `yaml:"min_body_rate" range:"0..1GiB"`       // bytes per second of a body after its first 5s; 0: no minimum
	ClientShare       float64       `yaml:"client_share" range:">0..1"`          // of max_requests that one API key, or client address (IPv6: a /64), may hold under contention; 1 for a proxy not in trusted_proxies
	CORS              string        `yaml:"cors"`                                // origins allowed, separated by commas; * allows all, none disables CORS
	PoisonThreshold   int           `yaml:"poison_threshold" range:"0..100"`     // backends lost with the same body in flight, after which it is refused with 422; 0: never
	PoisonMemory      time.Duration `yaml:"poison_memory" range:"1s..24h"`       // how long such a body is remembered

	Access access.Config   `yaml:",inline"` // as in section http of the server
	TLS    tlsfiles.Config `yaml:"tls"`     // as in section http of the server
}

// Defaults returns the default configuration.
func Defaults() Config {
	return Config{
		BodyTimeout:       30 * time.Second,
		ResponseTimeout:   30 * time.Second,
		DialTimeout:       time.Second,
		IdleTimeout:       30 * time.Second,
		UnresponsiveAfter: 2 * time.Second,
		ReplayMemory:      64 << 20,
		MaxRequests:       1024,
		MinBodyRate:       1 << 10,
		ClientShare:       0.25,
		CORS:              cors.Any,
		PoisonThreshold:   2,
		PoisonMemory:      5 * time.Minute,
	}
}

// Check implements config.Checker.
func (c Config) Check(errs *config.Errors) {
	if _, err := cors.Parse(c.CORS); err != nil {
		errs.Add("cors", "%w", err)
	}
}
