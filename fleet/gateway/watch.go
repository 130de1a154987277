package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// watchTick is how often it is looked which replicas owe a sign of life.
	watchTick = 100 * time.Millisecond

	// quietPart of Config.StallTimeout without a sign of life is when a replica is asked for one.
	quietPart = 4
)

// await notes an attempt that has no answer yet.
func (p *Balancer) await(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.to.attempts[a] = true
}

// settle notes that an attempt has its answer, or will have none.
func (p *Balancer) settle(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(a.to.attempts, a)
}

// silence is how long a replica has owed a sign of life: since its oldest request that was sent and has no answer, or its
// last sign of life. The lock is held.
func (m *member) silence(now time.Duration) time.Duration {
	longest := time.Duration(0)
	for a := range m.attempts {
		if d, owes := a.since(now); owes {
			longest = max(longest, d)
		}
	}
	return min(longest, now-time.Duration(m.sign.Load()))
}

// watch looks which replicas owe a sign of life, and returns those that are to be asked for one. One that gives none for
// the limit is silent: what it was given is tried elsewhere, if there is an elsewhere.
func (p *Balancer) watch(limit time.Duration) (ask []*member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	for m := range p.all() {
		d := m.silence(now)
		if m.silent { // until a sign of life, also with nothing owed
			d = now - time.Duration(m.sign.Load())
		}
		m.quiet, m.silent = d >= limit/quietPart, d >= limit
		if m.quiet && !m.probing {
			m.probing = true
			ask = append(ask, m)
		}
	}
	for m := range p.all() {
		if m.silent && p.elsewhere(m) {
			for a := range m.attempts {
				if d, owes := a.since(now); owes && d >= limit/quietPart && a.movable() {
					a.cancel(errStalled)
				}
			}
		}
	}
	return ask
}

// elsewhere tells whether another replica gives signs of life. The lock is held.
func (p *Balancer) elsewhere(than *member) bool {
	for _, m := range p.listed {
		if m != than && m.rank(p.now()) <= 1 {
			return true
		}
	}
	return false
}

// probed notes how a replica answered when it was asked for a sign of life.
func (p *Balancer) probed(m *member, alive bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.probing = false
	if alive {
		m.alive(p.clock())
		m.quiet, m.silent = false, false
	}
}

// forgive counts the silence of all replicas from now on.
func (p *Balancer) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.all() {
		m.alive(p.clock())
	}
}

// watch asks replicas that owe answers for a sign of life, until ctx ends.
func (g *Gateway) watch(ctx context.Context) {
	ticker := time.NewTicker(watchTick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if late := time.Since(last); late > g.cfg.StallTimeout/quietPart+watchTick {
			g.pool.forgive() // It was this process that stood still.
		}
		last = time.Now()
		for _, m := range g.pool.watch(g.cfg.StallTimeout) {
			g.watching.Go(func() { g.pool.probed(m, g.asks(ctx, m)) })
		}
	}
}

// asks tells whether a replica answers /health, however it does. Each time is a connection of its own.
func (g *Gateway) asks(ctx context.Context, m *member) bool {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.StallTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url.JoinPath("/health").String(), nil)
	if err != nil {
		return false
	}
	res, err := g.probes.RoundTrip(req)
	if err != nil {
		return false
	}
	_, err = io.CopyN(io.Discard, res.Body, headSize) // what there is of it
	return errors.Join(ignoreEOF(err), res.Body.Close()) == nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// probing makes the transport for signs of life.
func probing(cfg Config) *http.Transport {
	d := net.Dialer{Timeout: cfg.DialTimeout}
	return &http.Transport{Proxy: nil, DialContext: d.DialContext, DisableKeepAlives: true}
}
