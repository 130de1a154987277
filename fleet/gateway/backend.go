package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"time"
)

// Replica is the address of a replica.
type Replica struct {
	ID   string // in logs and metrics
	URL  string // http://host:port
	GRPC string // host:port for gRPC; empty: none
}

// State is a backend's state, as in metrics and responses.
type State string

// The states.
const (
	Ready        State = "ready"        // gets requests
	Cooldown     State = "cooldown"     // refused a request or failed several; gets requests only if there is no other
	Unresponsive State = "unresponsive" // owes responses and shows no activity; gets requests only if there is no other
	Draining     State = "draining"     // gets none; requests in flight are finished
	Removed      State = "removed"      // no longer listed; requests in flight are finished
)

// Status describes one backend.
type Status struct {
	ID       string `json:"id"`
	URL      string `json:"url"`
	State    State  `json:"state"`
	InFlight int    `json:"in_flight"`

	// POST requests so far: answered with 2xx; and failed through no fault of the client, with 500, 502, 504 or no response.
	Good, Bad int64 `json:"-"`
}

// takes reports whether the replica gets requests.
func (s Status) takes() bool { return s.State != Draining && s.State != Removed }

// backend is a replica in the load balancer, whose lock guards all fields except those that never change: id, url, grpc and
// leaving.
type backend struct {
	id       string
	url      *url.URL
	grpc     string
	leaving  context.Context // ends when it leaves rotation
	leave    context.CancelFunc
	inFlight int
	draining bool
	removed  bool
	cooldown time.Time     // end of the cooldown
	idle     chan struct{} // closed when inFlight falls to 0; nil while there is no waiter

	attempts     map[*attempt]bool // without a response yet
	inactive     bool              // owes responses and has shown no activity for part of UnresponsiveAfter
	unresponsive bool              // for all of it
	probing      bool
	lastActive   atomic.Int64 // on the balancer's clock
	good         int64
	bad          int64
	failures     int // since the last success

	calls callConns
}

func newBackend(r Replica) (*backend, error) {
	if r.ID == "" {
		return nil, fmt.Errorf("replica at %q has no ID", r.URL)
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, fmt.Errorf("replica %q: %w", r.ID, err)
	}
	plain := u.User == nil && u.RawQuery == "" && u.Fragment == "" && (u.Path == "" || u.Path == "/")
	if u.Scheme != "http" || u.Hostname() == "" || u.Port() == "" || !plain {
		return nil, fmt.Errorf("replica %q: %q is not http://host:port", r.ID, r.URL)
	}
	if r.GRPC != "" {
		if _, port, err := net.SplitHostPort(r.GRPC); err != nil || port == "" {
			return nil, fmt.Errorf("replica %q: %q is not host:port", r.ID, r.GRPC)
		}
	}
	b := &backend{id: r.ID, url: u, grpc: r.GRPC, attempts: map[*attempt]bool{}}
	b.leaving, b.leave = context.WithCancel(context.Background())
	return b, nil
}

func (b *backend) sameID(o *backend) bool { return b.id == o.id }

func (b *backend) same(o *backend) bool {
	return b.id == o.id && b.url.Host == o.url.Host && b.grpc == o.grpc
}

// active notes activity: the start of a response, or a probe that was answered.
func (b *backend) active(now time.Duration) { b.lastActive.Store(int64(now)) }

func (b *backend) coolDownUntil(end time.Time) {
	if end.After(b.cooldown) {
		b.cooldown = end
	}
}

func (b *backend) state(now time.Time) State {
	switch {
	case b.removed:
		return Removed
	case b.draining:
		return Draining
	case b.unresponsive:
		return Unresponsive
	case now.Before(b.cooldown):
		return Cooldown
	}
	return Ready
}

func (b *backend) betterThan(o *backend, now time.Time) bool {
	return cmp.Or(cmp.Compare(b.rank(now), o.rank(now)), cmp.Compare(b.inFlight, o.inFlight)) < 0
}

// rank orders backends by health, 0 being the best.
func (b *backend) rank(now time.Time) int {
	switch {
	case b.draining:
		return 4
	case b.unresponsive:
		return 3
	case now.Before(b.cooldown):
		return 2
	case b.inactive:
		return 1
	}
	return 0
}
