package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Replica is one server that answers.
type Replica struct {
	ID  string // names it in the log and in metrics
	URL string // http://host:port
}

const (
	// shun is how long a replica that took no request is asked only when there is no other. Without it the one that is
	// gone would have the fewest requests in flight, and so attract all.
	shun = time.Second

	// streaks is the number of requests, one after the other, that a replica fails before it is shunned: for shun, and twice
	// as long with each further one, up to longestShun.
	streaks     = 3
	longestShun = 8 * time.Second
)

// Balancer says which replicas get requests. It is safe for concurrent use, and ready to use as New made it.
type Balancer struct {
	mu      sync.Mutex
	listed  []*member // may get requests
	leaving []*member // get none, and have some in flight
	next    int       // where the search for the next replica begins, so that equals take turns
	now     func() time.Time
	epoch   time.Time       // of clock
	forgot  func(id string) // called, without the lock, when nothing is left of a replica
}

func newBalancer(now func() time.Time, forgot func(string)) *Balancer {
	return &Balancer{now: now, epoch: now().Add(-time.Nanosecond), forgot: forgot}
}

// clock is the time since the pool was made, never 0.
func (p *Balancer) clock() time.Duration { return p.now().Sub(p.epoch) }

// Set names all replicas that get requests from now on. One that isn't named keeps what it has in flight and gets
// no more. One that is being drained stays so, since the list may be older than the drain. When any URL is bad,
// nothing changes.
func (p *Balancer) Set(replicas []Replica) error {
	wanted := make([]*member, 0, len(replicas))
	var mistakes []error
	for _, r := range replicas {
		m, err := newMember(r)
		if err == nil && slices.ContainsFunc(wanted, m.sameID) {
			err = fmt.Errorf("replica %q is named twice", r.ID)
		}
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		wanted = append(wanted, m)
	}
	if len(mistakes) > 0 {
		return errors.Join(mistakes...)
	}
	p.mu.Lock()
	gone := slices.Clone(p.listed)
	for i, w := range wanted {
		if at := slices.IndexFunc(p.listed, w.same); at >= 0 {
			wanted[i] = p.listed[at]
			gone = slices.DeleteFunc(gone, func(m *member) bool { return m == p.listed[at] })
		}
	}
	p.listed = wanted
	forgotten := p.leave(gone)
	p.mu.Unlock()
	p.forget(forgotten)
	return nil
}

// Add gives the replica requests from now on, also when it was being drained. Another with the same ID and another
// URL is removed.
func (p *Balancer) Add(r Replica) error {
	m, err := newMember(r)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := slices.IndexFunc(p.listed, m.same); at >= 0 {
		p.listed[at].draining = false
		p.listed[at].refusing = time.Time{}
		return nil
	}
	p.unlist(m.id)
	p.listed = append(p.listed, m)
	return nil
}

// Remove gives the replica no more requests; those in flight go on. An ID that isn't known is no mistake.
func (p *Balancer) Remove(id string) {
	p.mu.Lock()
	forgotten := p.unlist(id)
	p.mu.Unlock()
	p.forget(forgotten)
}

// InFlight returns the number of requests that the replica is answering; 0 for one that isn't known.
func (p *Balancer) InFlight(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for m := range p.all() {
		if m.id == id {
			n += m.inFlight
		}
	}
	return n
}

// Status returns all replicas that get requests or have some in flight.
func (p *Balancer) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	list := []Status{}
	for m := range p.all() {
		list = append(list, Status{ID: m.id, URL: m.url.String(), State: m.state(now), InFlight: m.inFlight, Good: m.good, Bad: m.bad})
	}
	return list
}

// all yields the listed and the leaving members. The lock is held.
func (p *Balancer) all() func(yield func(*member) bool) {
	return func(yield func(*member) bool) {
		for _, m := range p.listed {
			if !yield(m) {
				return
			}
		}
		for _, m := range p.leaving {
			if !yield(m) {
				return
			}
		}
	}
}

// unlist takes the member with this ID off the list and returns the IDs of which nothing is left. The lock is held.
func (p *Balancer) unlist(id string) []string {
	at := slices.IndexFunc(p.listed, func(m *member) bool { return m.id == id })
	if at < 0 {
		return nil
	}
	m := p.listed[at]
	p.listed = slices.Delete(p.listed, at, at+1)
	return p.leave([]*member{m})
}

// leave keeps the members that have requests in flight, and returns the IDs of the others. The lock is held.
func (p *Balancer) leave(gone []*member) []string {
	var forgotten []string
	for _, m := range gone {
		m.left = true
		if m.inFlight > 0 {
			p.leaving = append(p.leaving, m)
		} else {
			forgotten = append(forgotten, m.id)
		}
	}
	return forgotten
}

func (p *Balancer) forget(ids []string) {
	for _, id := range ids {
		p.forgot(id)
	}
}

// known says whether anything is left of a replica.
func (p *Balancer) known(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.all() {
		if m.id == id {
			return true
		}
	}
	return false
}

// parse checks what a replica is named and where it is.
func parse(r Replica) (*url.URL, error) {
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
	return u, nil
}
