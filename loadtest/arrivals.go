package loadtest

import (
	"math/rand/v2"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Arrivals is the distribution of the requests of an open loop.
type Arrivals string

// The kinds of arrivals.
const (
	Constant Arrivals = "constant" // at equal intervals
	Poisson  Arrivals = "poisson"  // at exponentially distributed intervals, like those of many independent users
)

// schedule determines when the requests of an open loop are due, regardless of earlier responses. It paces vegeta and
// passes the due times to the requests in order: latency counts from when a request was due, even if it was sent late, so
// there is no coordinated omission.
type schedule struct {
	rate    float64
	random  *rand.Rand    // nil: constant arrivals
	next    time.Duration // when the next request is due, from the start of the load
	due     chan time.Duration
	began   time.Time // set before the first due time is sent
	stopped <-chan struct{}
}

var _ vegeta.Pacer = (*schedule)(nil)

// newSchedule schedules rate requests per second until stopped is closed.
func newSchedule(kind Arrivals, rate float64, seed uint64, inFlight int, stopped <-chan struct{}) *schedule {
	s := &schedule{due: make(chan time.Duration, inFlight+1), rate: rate, stopped: stopped}
	if kind == Poisson {
		s.random = rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // repeatable arrivals
	}
	return s
}

// maxSleep bounds how long vegeta sleeps before a request, since stopping does not interrupt it.
const maxSleep = time.Second

// Pace implements vegeta.Pacer. Vegeta asks once for every request, from one goroutine.
func (s *schedule) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	if hits == 0 {
		s.began = time.Now().Add(-elapsed)
	}
	mean := float64(time.Second) / s.rate
	if s.random != nil {
		s.next += time.Duration(s.random.ExpFloat64() * mean)
	} else {
		s.next = time.Duration(float64(hits+1) * mean) // rounded gaps would let the rate drift
	}
	select {
	case s.due <- s.next:
	case <-s.stopped:
		return 0, true
	}
	wait = s.next - elapsed
	if wait <= maxSleep {
		return wait, false
	}
	select {
	case <-time.After(wait - maxSleep):
		return s.next - time.Since(s.began), false
	case <-s.stopped:
		return 0, true
	}
}

// Rate implements vegeta.Pacer.
func (s *schedule) Rate(time.Duration) float64 { return s.rate }
