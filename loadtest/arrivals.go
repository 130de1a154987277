package loadtest

import (
	"math/rand/v2"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Arrivals is how the requests of an open loop follow each other.
type Arrivals string

// The kinds of arrivals.
const (
	Constant Arrivals = "constant" // at equal distances
	Poisson  Arrivals = "poisson"  // at exponentially distributed distances, as those of many independent users
)

// schedule says when the requests of an open loop are due, whatever became of those before. It paces vegeta, and hands
// the due times on to the requests in their order, so that a request that is sent late is measured from when it was
// due: that leaves no coordinated omission.
type schedule struct {
	gap     func() time.Duration
	next    time.Duration // when the next request is due, from the start of the load
	due     chan time.Duration
	began   time.Time // set before the first due time is sent
	rate    float64
	stopped <-chan struct{}
}

var _ vegeta.Pacer = (*schedule)(nil)

// newSchedule makes the arrivals of rate requests a second. Closing stopped ends them.
func newSchedule(kind Arrivals, rate float64, seed uint64, inFlight int, stopped <-chan struct{}) *schedule {
	s := &schedule{due: make(chan time.Duration, inFlight+1), rate: rate, stopped: stopped}
	mean := float64(time.Second) / rate
	n := 0
	s.gap = func() time.Duration { // from the count and not from a rounded gap, so that the rate does not drift
		n++
		return time.Duration(float64(n)*mean) - s.next
	}
	if kind == Poisson {
		random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // arrivals that can be repeated are wanted
		s.gap = func() time.Duration { return time.Duration(random.ExpFloat64() * mean) }
	}
	return s
}

// longestSleep is how long vegeta sleeps until a request is sent, at most, since it sleeps through a stop.
const longestSleep = time.Second

// Pace implements vegeta.Pacer. Vegeta asks once for every request, from one goroutine.
func (s *schedule) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	if hits == 0 {
		s.began = time.Now().Add(-elapsed)
	}
	s.next += s.gap()
	select {
	case s.due <- s.next:
	case <-s.stopped:
		return 0, true
	}
	wait = s.next - elapsed
	if wait <= longestSleep {
		return wait, false
	}
	select {
	case <-time.After(wait - longestSleep):
		return s.next - time.Since(s.began), false
	case <-s.stopped:
		return 0, true
	}
}

// Rate implements vegeta.Pacer.
func (s *schedule) Rate(time.Duration) float64 { return s.rate }
