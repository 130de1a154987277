package gateway

import (
	"net/url"
	"sync/atomic"
	"time"
)

// State is what a replica is to the gateway.
type State int

// The states.
const (
	Ready        State = iota // gets requests
	Cooldown                  // took no request a moment ago, or failed several; asked only when there is no other
	Unresponsive              // owes answers and gives no sign of life; asked only when there is no other
	Draining                  // gets none, on request; those in flight are answered
	Removed                   // no longer among the replicas; those in flight are answered
)

// States lists all states.
var States = [...]State{Ready, Cooldown, Unresponsive, Draining, Removed}

// String returns the state's name as it appears in metrics and in the log.
func (s State) String() string {
	switch s {
	case Ready:
		return "ready"
	case Cooldown:
		return "cooldown"
	case Unresponsive:
		return "unresponsive"
	case Draining:
		return "draining"
	case Removed:
		return "removed"
	}
	return "unknown"
}

// MarshalText makes the name the state's form in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Status is one replica as the gateway sees it.
type Status struct {
	ID       string `json:"id"`
	URL      string `json:"url"`
	State    State  `json:"state"`
	InFlight int    `json:"in_flight"`

	// POST requests since it is known: answered with 2xx; and answered with 500, 502 or 504, or not at all, for which no
	// client is to blame.
	Good, Bad int64 `json:"-"`
}

// member is a replica in the pool. Its pool's lock guards all of it but id and url, which never change.
type member struct {
	id       string
	url      *url.URL
	inFlight int
	draining bool
	left     bool
	refusing time.Time     // until when it is asked only if there is no other
	idle     chan struct{} // closed when inFlight falls to 0; nil while nobody waits

	attempts map[*attempt]bool // that have no answer yet
	quiet    bool              // owes answers, and gave no sign of life for a moment
	silent   bool              // for so long that its requests are tried elsewhere
	probing  bool
	sign     atomic.Int64 // the last sign of life, on the pool's clock
	good     int64
	bad      int64
	streak   int // bad ones since the last good one
}

func newMember(r Replica) (*member, error) {
	u, err := parse(r)
	if err != nil {
		return nil, err
	}
	return &member{id: r.ID, url: u, attempts: map[*attempt]bool{}}, nil
}

// alive notes a sign of life.
func (m *member) alive(now time.Duration) { m.sign.Store(int64(now)) }

func (m *member) sameID(o *member) bool { return m.id == o.id }

func (m *member) same(o *member) bool { return m.id == o.id && m.url.Host == o.url.Host }

func (m *member) state(now time.Time) State {
	switch {
	case m.left:
		return Removed
	case m.draining:
		return Draining
	case m.silent:
		return Unresponsive
	case now.Before(m.refusing):
		return Cooldown
	}
	return Ready
}
