package gateway

import (
	"net/url"
	"time"
)

// State is what a replica is to the gateway.
type State int

// The states.
const (
	Ready    State = iota // gets requests
	Refusing              // took no connection a moment ago; asked only when there is no other
	Draining              // gets none, on request; those in flight are answered
	Leaving               // no longer among the replicas; those in flight are answered
)

// States lists all states.
var States = [...]State{Ready, Refusing, Draining, Leaving}

// String returns the state's name as it appears in metrics and in the log.
func (s State) String() string {
	switch s {
	case Ready:
		return "ready"
	case Refusing:
		return "refusing"
	case Draining:
		return "draining"
	case Leaving:
		return "leaving"
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
}

func newMember(r Replica) (*member, error) {
	u, err := parse(r)
	if err != nil {
		return nil, err
	}
	return &member{id: r.ID, url: u}, nil
}

func (m *member) sameID(o *member) bool { return m.id == o.id }

func (m *member) same(o *member) bool { return m.id == o.id && m.url.Host == o.url.Host }

func (m *member) state(now time.Time) State {
	switch {
	case m.left:
		return Leaving
	case m.draining:
		return Draining
	case now.Before(m.refusing):
		return Refusing
	}
	return Ready
}
