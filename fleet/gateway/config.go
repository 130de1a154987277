package gateway

import (
	"errors"
	"fmt"
	"time"

	"fovea/internal/cors"
)

// Config is how the gateway speaks HTTP on both sides. The times must be longer than the replicas' own, so that a
// client reads the replica's answer and not the gateway's.
type Config struct {
	BodyTimeout     time.Duration `yaml:"body_timeout" usage:"time for the body of a request to arrive"`
	ResponseTimeout time.Duration `yaml:"response_timeout" usage:"time for a replica's answer to begin, from the end of the request's body"`
	DialTimeout     time.Duration `yaml:"dial_timeout" usage:"time for a connection to a replica"`
	IdleTimeout     time.Duration `yaml:"idle_timeout" usage:"time a connection to a replica is kept unused; below the replica's own (1m), which would close it under a request"`
	StallTimeout    time.Duration `yaml:"stall_timeout" usage:"time for a sign of life of a replica that owes answers (an answer to another request, or to /health), after which what it was given is tried on another"`
	ReplayMemory    int64         `yaml:"-"` // bytes of bodies that are kept for a second attempt; one body takes a quarter at most
	MaxRequests     int64         `yaml:"max_requests" usage:"requests in flight; beyond it the slowest body that is still arriving gives way, or more are refused with 503"`
	MinBodyRate     int64         `yaml:"min_body_rate" usage:"bytes a second that a body must keep up, after 5s; 0: any"`
	ClientShare     float64       `yaml:"client_share" usage:"part of max_requests that one client address (IPv6: a /64) may hold when others need it; 1: all, for a gateway behind a proxy"`
	CORS            string        `yaml:"cors" usage:"origins whose web pages may ask and read answers, as https://app.example with commas between; *: any; or none"`
	PoisonThreshold int           `yaml:"poison_threshold" usage:"lost replicas after which a body that was being answered each time is refused with 422; 0 never refuses"`
	PoisonMemory    time.Duration `yaml:"poison_memory" usage:"time such a body is remembered, from the last replica lost"`
}

// Defaults returns the configuration that holds where nothing else is said.
func Defaults() Config {
	return Config{
		BodyTimeout:     30 * time.Second,
		ResponseTimeout: 30 * time.Second,
		DialTimeout:     time.Second,
		IdleTimeout:     30 * time.Second,
		StallTimeout:    2 * time.Second,
		ReplayMemory:    64 << 20,
		MaxRequests:     1024,
		MinBodyRate:     1 << 10,
		ClientShare:     0.25,
		CORS:            cors.Any,
		PoisonThreshold: 2,
		PoisonMemory:    5 * time.Minute,
	}
}

// Validate returns all mistakes, each naming its key.
func (c Config) Validate() error {
	var mistakes []error
	durations := []struct {
		key       string
		value     time.Duration
		low, high time.Duration
	}{
		{"body_timeout", c.BodyTimeout, time.Millisecond, time.Hour},
		{"response_timeout", c.ResponseTimeout, time.Millisecond, time.Hour},
		{"dial_timeout", c.DialTimeout, time.Millisecond, time.Minute},
		{"idle_timeout", c.IdleTimeout, time.Millisecond, time.Hour},
		{"stall_timeout", c.StallTimeout, 10 * time.Millisecond, time.Hour},
		{"poison_memory", c.PoisonMemory, time.Second, 24 * time.Hour},
	}
	for _, d := range durations {
		if d.value < d.low || d.value > d.high {
			mistakes = append(mistakes, fmt.Errorf("%s: %s is not between %s and %s", d.key, d.value, d.low, d.high))
		}
	}
	if c.MaxRequests < 1 || c.MaxRequests > 1<<20 {
		mistakes = append(mistakes, fmt.Errorf("max_requests: %d is not between 1 and %d", c.MaxRequests, 1<<20))
	}
	if c.MinBodyRate < 0 || c.MinBodyRate > 1<<30 {
		mistakes = append(mistakes, fmt.Errorf("min_body_rate: %d is not between 0 and %d", c.MinBodyRate, 1<<30))
	}
	if _, err := cors.Parse(c.CORS); err != nil {
		mistakes = append(mistakes, fmt.Errorf("cors: %w", err))
	}
	if !(c.ClientShare > 0 && c.ClientShare <= 1) { // nor NaN
		mistakes = append(mistakes, fmt.Errorf("client_share: %v is not above 0 and at most 1", c.ClientShare))
	}
	if c.PoisonThreshold < 0 || c.PoisonThreshold > 100 {
		mistakes = append(mistakes, fmt.Errorf("poison_threshold: %d is not between 0 and 100", c.PoisonThreshold))
	}
	return errors.Join(mistakes...)
}
