package api

import (
	"sync/atomic"

	"fovea/fault"
)

// admission bounds the requests for predictions in flight, and the bytes of their bodies over all of them, so
// that memory stays bounded however many clients come at once.
type admission struct {
	maxRequests, maxBytes int64
	requests, bytes       atomic.Int64
	closed                atomic.Bool
}

// close refuses whoever comes from now on.
func (a *admission) close() { a.closed.Store(true) }

// seat is one admitted request's share. It is not safe for concurrent use.
type seat struct {
	room  *admission
	bytes int64
}

// enter admits a request that announces a body of so many bytes. The seat must be left.
func (a *admission) enter(bytes int64) (*seat, error) {
	n := a.requests.Add(1) // before looking at closed, so that whoever closes sees all that were let in
	if a.closed.Load() {
		a.requests.Add(-1)
		return nil, fault.New(fault.Draining, "the server is shutting down; ask another or try again soon")
	}
	if n > a.maxRequests {
		a.requests.Add(-1)
		return nil, fault.New(fault.QueueFull, "the server is busy with %d requests, as many as it takes at once", a.maxRequests)
	}
	s := &seat{room: a}
	if err := s.grow(bytes); err != nil {
		s.leave()
		return nil, err
	}
	return s, nil
}

// grow takes room for more bytes, or refuses.
func (s *seat) grow(bytes int64) error {
	if s.room.bytes.Add(bytes) > s.room.maxBytes {
		s.room.bytes.Add(-bytes)
		return fault.New(fault.QueueFull, "the server is busy with bodies of %d bytes, as many as it takes at once", s.room.maxBytes)
	}
	s.bytes += bytes
	return nil
}

func (s *seat) leave() {
	s.room.bytes.Add(-s.bytes)
	s.room.requests.Add(-1)
	s.bytes = 0
}
