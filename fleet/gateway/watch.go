package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"time"
)

const (
	// watchInterval is how often the backends' activity is checked.
	watchInterval = 100 * time.Millisecond

	// A backend is probed after Config.UnresponsiveAfter/probeDivisor without activity.
	probeDivisor = 4
)

// track adds an attempt that has no response yet.
func (lb *Balancer) track(a *attempt) {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	a.backend.attempts[a] = true
}

// untrack removes an attempt that has its response, or has failed.
func (lb *Balancer) untrack(a *attempt) {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	delete(a.backend.attempts, a)
}

// inactiveFor is how long a backend that owes a response has shown no activity: since its oldest unanswered request was sent,
// or since its last activity. The caller holds mu.
func (b *backend) inactiveFor(now time.Duration) time.Duration {
	longest := time.Duration(0)
	for a := range b.attempts {
		if d, waiting := a.waitingFor(now); waiting {
			longest = max(longest, d)
		}
	}
	return min(longest, now-time.Duration(b.lastActive.Load()))
}

// checkActivity updates which backends are inactive or unresponsive, and returns those to probe. The attempts at an unresponsive
// backend end so that they are retried, if another backend is responsive.
func (lb *Balancer) checkActivity(unresponsiveAfter time.Duration) (probe []*backend) {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	now := lb.clock()
	probeAfter := unresponsiveAfter / probeDivisor
	for _, b := range lb.all() {
		d := b.inactiveFor(now)
		if b.unresponsive { // until it shows activity, even if it owes nothing any more
			d = now - time.Duration(b.lastActive.Load())
		}
		b.inactive, b.unresponsive = d >= probeAfter, d >= unresponsiveAfter
		if b.inactive && !b.probing {
			b.probing = true
			probe = append(probe, b)
		}
	}
	for _, b := range lb.all() {
		if b.unresponsive && lb.hasAlternative(b) {
			for a := range b.attempts {
				if d, waiting := a.waitingFor(now); waiting && d >= probeAfter && a.retryable() {
					a.cancel(errUnresponsive)
				}
			}
		}
	}
	return probe
}

// hasAlternative reports whether another backend in rotation is responsive. The caller holds mu.
func (lb *Balancer) hasAlternative(to *backend) bool {
	return slices.ContainsFunc(lb.listed, func(b *backend) bool { return b != to && b.rank(lb.now()) <= 1 })
}

// probed records the result of a probe.
func (lb *Balancer) probed(b *backend, answered bool) {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	b.probing = false
	if answered {
		b.active(lb.clock())
		b.inactive, b.unresponsive = false, false
	}
}

// resetActivity restarts the measurement of all backends' inactivity.
func (lb *Balancer) resetActivity() {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	for _, b := range lb.all() {
		b.active(lb.clock())
	}
}

// watch checks the backends' activity and probes those that are inactive, until ctx ends.
func (g *Gateway) watch(ctx context.Context) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if late := time.Since(last); late > g.cfg.UnresponsiveAfter/probeDivisor+watchInterval {
			g.balancer.resetActivity() // This process was suspended, not the backends.
		}
		last = time.Now()
		for _, b := range g.balancer.checkActivity(g.cfg.UnresponsiveAfter) {
			g.watching.Go(func() { g.balancer.probed(b, g.probe(ctx, b)) })
		}
	}
}

// probe reports whether a backend answers /health, with any status. Each probe uses a new connection.
func (g *Gateway) probe(ctx context.Context, b *backend) bool {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.UnresponsiveAfter)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url.JoinPath("/health").String(), nil)
	if err != nil {
		return false
	}
	res, err := g.probes.RoundTrip(req)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, headSize))
	return errors.Join(err, res.Body.Close()) == nil
}

func probeTransport(cfg Config) *http.Transport {
	d := net.Dialer{Timeout: cfg.DialTimeout}
	return &http.Transport{Proxy: nil, DialContext: d.DialContext, DisableKeepAlives: true}
}
