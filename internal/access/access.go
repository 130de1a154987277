// Package access decides who may send which requests, and how many: API keys with scopes, models and limits, or limits by
// client address. HTTP and gRPC share it, and so do the server and the gateway.
package access

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/apikey"
	"fovea/internal/ratelimit"
	"fovea/internal/reload"
)

// Beyond this rate of wrong keys an address is flooding. It is far more than what clients with an old key send by mistake.
var tolerated = ratelimit.Rate{PerSecond: 5, Burst: 20}

// ErrFlood is the cause of an error for a request without a valid key from an address that has sent many of them. Its body
// is not worth reading.
var ErrFlood = errors.New("many requests without a valid key from this address")

// Guard admits requests. It is safe for concurrent use.
type Guard struct {
	cfg      Config
	trusted  []netip.Prefix
	keys     *reload.Value[keyring] // nil: none are needed
	usage    map[string]*usage      // by key name; read keys reads and writes it
	rates    *ratelimit.Table       // of addresses
	failures *ratelimit.Table       // requests without a valid key, by address
	metrics  *metrics
	log      *slog.Logger
	now      func() time.Time

	refused  atomic.Int64 // requests without a valid key since the last line in the log
	reported atomic.Int64 // when that was, in nanoseconds
	paused   atomic.Int64 // requests that are held back
}

// keyring is the content of the file, with what its keys use now.
type keyring struct {
	*apikey.Keys

	usage map[string]*usage
}

// usage is what a key uses. It stays when the file changes.
type usage struct {
	bucket   *ratelimit.Bucket
	inFlight atomic.Int64
}

// Open makes a guard and reads the file of keys. The configuration must be valid.
func Open(cfg Config, log *slog.Logger) (*Guard, error) {
	g := &Guard{cfg: cfg, usage: map[string]*usage{}, rates: ratelimit.NewTable(cfg.Rate.rate()), failures: ratelimit.NewTable(tolerated),
		metrics: newMetrics(), log: log, now: time.Now}
	for _, text := range cfg.TrustedProxies {
		network, _ := parseNetwork(text) // the configuration is valid
		g.trusted = append(g.trusted, network)
	}
	if cfg.Keys == "" {
		return g, nil
	}
	keys, err := reload.Open(g.readKeys, cfg.Keys)
	if err != nil {
		return nil, err
	}
	g.keys = keys
	return g, nil
}

// Watch re-reads the file of keys when it changes, until ctx ends. A file that cannot be used is logged once, and the previous
// keys stay valid.
func (g *Guard) Watch(ctx context.Context) {
	if g.keys != nil {
		g.keys.Watch(ctx, g.log)
	}
}

// NeedsKeys reports whether requests need keys.
func (g *Guard) NeedsKeys() bool { return g.keys != nil }

// readKeys parses the file of keys. Keys that stay keep what they have used; those that are gone leave no metrics.
func (g *Guard) readKeys(contents [][]byte) (*keyring, error) {
	keys, err := apikey.Parse(contents[0], g.cfg.Keys)
	if err != nil {
		return nil, err
	}
	now := map[string]*usage{}
	for _, k := range keys.List() {
		limit := ratelimit.Rate{PerSecond: k.Rate, Burst: k.Burst}
		if k.Rate == 0 {
			limit = g.cfg.Rate.rate()
		}
		if now[k.Name] = g.usage[k.Name]; now[k.Name] == nil {
			now[k.Name] = &usage{bucket: ratelimit.NewBucket(limit)}
		}
		now[k.Name].bucket.Set(limit, g.now())
	}
	for name := range g.usage {
		if now[name] == nil {
			g.metrics.forget(name)
		}
	}
	g.usage = now
	return &keyring{keys, now}, nil
}

// Enter admits a request, or a message of a stream. leave must be called when it ends. The client is known also where it is
// refused, except for its key where that is wrong. The error is an API error: Unauthenticated, PermissionDenied or RateLimited.
func (g *Guard) Enter(route Route, from Caller) (c *Client, leave func(), err error) {
	c = &Client{Address: from.address(g.trusted)}
	address := counted(c.Address)
	c.ID = address.String()
	if route.Open || route.metrics && (g.cfg.OpenMetrics || g.keys == nil) {
		return c, nothing, nil
	}
	if g.keys == nil {
		c.gated = from.gated()
		if err := g.authorizeModel(c, route); err != nil {
			return c, nothing, err
		}
		if wait := g.rates.Take(address, g.now()); wait > 0 {
			g.metrics.denied(byRate)
			return c, nothing, rateLimited(wait, "this client address", g.cfg.Rate.Limit)
		}
		return c, nothing, nil
	}
	ring := g.keys.Get()
	secret, failed := from.secret()
	if failed == nil {
		if c.key = ring.Find(secret); c.key == nil {
			failed = apierror.New(apierror.Unauthenticated, "the API key is not valid")
		}
	}
	if failed != nil {
		return c, nothing, g.unauthenticated(failed, c.Address, address, secret != "")
	}
	c.ID = "key " + c.key.Name
	if err := g.authorize(c, route); err != nil {
		return c, nothing, err
	}
	leave, err = g.take(c.key, ring.usage[c.key.Name])
	return c, leave, err
}

func nothing() {}

// unauthenticated counts a request without a valid key.
func (g *Guard) unauthenticated(err *apierror.Error, client netip.Addr, address netip.Prefix, given bool) error {
	reason := noKey
	if given {
		reason = wrongKey
	}
	g.metrics.denied(reason)
	g.reportRefused(client)
	if g.failures.Take(address, g.now()) > 0 {
		return apierror.Wrap(err.Code, ErrFlood, "%s", err.Message)
	}
	return err
}

const (
	// floodPause is how long the response to a flooding address is held back. A client that waits for its responses, on
	// however many connections, is slowed down to two requests per second on each.
	floodPause = 500 * time.Millisecond
	// maxPaused bounds the requests that are held back at a time, for their memory: that of as many idle connections. With floodPause it
	// is 8,192 requests per second.
	maxPaused = 4096
)

// HoldBack waits before a request of a flood, whose error has the cause ErrFlood, is responded to. It returns early when ctx ends,
// and at once while too many requests are held back.
func (g *Guard) HoldBack(ctx context.Context) {
	defer g.paused.Add(-1)
	if g.paused.Add(1) > maxPaused {
		return
	}
	timer := time.NewTimer(floodPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// reportInterval is how often the log has a line about requests without a valid key: no client can fill it with them.
const reportInterval = 10 * time.Second

func (g *Guard) reportRefused(client netip.Addr) {
	g.refused.Add(1)
	now, last := g.now().UnixNano(), g.reported.Load()
	if now-last < int64(reportInterval) || !g.reported.CompareAndSwap(last, now) {
		return
	}
	g.log.Warn("requests without a valid API key were refused", "count", g.refused.Swap(0), "last_client", client.String())
}

// authorize checks the key's scopes and models.
func (g *Guard) authorize(c *Client, route Route) error {
	if route.Scope != "" && !c.key.May(route.Scope) {
		g.metrics.denied(byScope)
		return apierror.New(apierror.PermissionDenied, "key %s does not have scope %s, which this request needs", c.key.Name, route.Scope)
	}
	return g.authorizeModel(c, route)
}

// authorizeModel checks the model that a request names.
func (g *Guard) authorizeModel(c *Client, route Route) error {
	var err error
	switch {
	case route.Model != "":
		err = c.MayUse(route.Model)
	case route.Named:
		err = c.mayUseAll()
	}
	if err != nil {
		g.metrics.denied(byModel)
	}
	return err
}

// take applies the key's limits.
func (g *Guard) take(k *apikey.Key, u *usage) (leave func(), err error) {
	if n := u.inFlight.Add(1); k.Concurrent > 0 && n > int64(k.Concurrent) {
		u.inFlight.Add(-1)
		g.metrics.denied(byConcurrency)
		return nothing, apierror.New(apierror.RateLimited, "key %s has %d requests in flight, which is its limit", k.Name, k.Concurrent)
	}
	if wait := u.bucket.Take(g.now()); wait > 0 {
		u.inFlight.Add(-1)
		g.metrics.denied(byRate)
		limit := k.Rate
		if limit == 0 {
			limit = g.cfg.Rate.Limit
		}
		return nothing, rateLimited(wait, "key "+k.Name, limit)
	}
	return func() { u.inFlight.Add(-1) }, nil
}

func rateLimited(wait time.Duration, who string, limit float64) error {
	err := apierror.New(apierror.RateLimited, "%s has sent more than %g requests per second, which is its limit", who, limit)
	err.RetryAfter = wait
	return err
}
