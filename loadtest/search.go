package loadtest

import (
	"context"
	"errors"
)

// search finds the highest rate that passes a trial: it doubles the rate until one fails, or halves it until one passes,
// then bisects. It assumes that trials are monotonic: above a rate that fails, all fail.
type search struct {
	rate      float64 // of the next trial
	passed    float64 // highest; 0: none yet
	failed    float64 // lowest; 0: none yet
	minRate   float64
	precision float64
}

const (
	maxHalvings = 10 // of the rate at the start
	maxRate     = 1_000_000
)

// newSearch starts at a rate in requests per second and stops when its bounds are within precision, a share of the rate.
func newSearch(start, precision float64) *search {
	return &search{rate: start, minRate: max(start/(1<<maxHalvings), 0.1), precision: precision}
}

// next returns the rate to try; false if the search is finished.
func (s *search) next() (rate float64, more bool) {
	switch {
	case s.passed == 0 && s.failed == 0:
		return s.rate, true
	case s.passed == 0:
		s.rate = s.failed / 2
		return s.rate, s.rate >= s.minRate
	case s.failed == 0:
		s.rate = s.passed * 2
		return s.rate, s.rate <= maxRate
	}
	s.rate = (s.passed + s.failed) / 2
	return s.rate, s.failed > s.passed*(1+s.precision)
}

// record stores the outcome of a trial at the rate that next returned.
func (s *search) record(passed bool) {
	if passed {
		s.passed = s.rate
	} else {
		s.failed = s.rate
	}
}

// minRateShare is the share of the rate that must be answered for a trial to pass. It leaves room for the randomness of
// Poisson arrivals.
const minRateShare = 0.9

// search finds the highest rate whose p99 stays below the limit, starting at the throughput of one request at a time.
func (r *run) search(ctx context.Context) error {
	c := r.plan.config
	r.result.Search = &Search{P99BelowMS: ms(c.P99Below), Level: -1, Interrupted: true}
	level, err := r.level(ctx, Level{Concurrency: 1, Purpose: "start of the search"}, 0)
	if err != nil {
		return err
	}
	start := level.Throughput / float64(c.Body.Images)
	if start <= 0 {
		return errors.New("the search cannot start: no request succeeded")
	}
	s := newSearch(start, c.Precision)
	for rate, more := s.next(); more; rate, more = s.next() {
		passed, err := r.trial(ctx, rate)
		if err != nil {
			return err
		}
		s.record(passed)
	}
	r.result.Search.Interrupted = false
	return nil
}

// trial tries a rate. A trial that fails is repeated once: otherwise a single hiccup of a machine could end the search far
// too low.
func (r *run) trial(ctx context.Context, rate float64) (bool, error) {
	for range 2 {
		level, err := r.level(ctx, Level{Rate: round(rate), Purpose: "search"}, r.plan.config.P99Below)
		if err != nil {
			return false, err
		}
		passed := r.passed(level)
		r.result.Levels[len(r.result.Levels)-1].Passed = &passed
		if passed {
			r.result.Search.Rate, r.result.Search.Level = level.Rate, len(r.result.Levels)-1
			return true, nil
		}
		if level.Ended == endedFailing {
			return false, nil
		}
	}
	return false, nil
}

// passed reports whether a trial met the limit: by its p99, its failures, and whether the server kept up with the rate.
func (r *run) passed(l *Level) bool {
	c := r.plan.config
	return l.Requests > 0 && l.Latency.P99MS <= ms(c.P99Below) && l.ErrorRate() <= c.MaxErrors &&
		l.Throughput >= minRateShare*l.Rate*float64(c.Body.Images) && (l.Stable || !rising(l.Windows, c.Tolerance))
}

// rising reports whether p50 and p99 both rise from window to window, in total by more than the tolerance, over the windows
// of the figures: then requests pile up, and the p99 will eventually exceed any limit. A p99 alone may rise by chance.
func rising(windows []Window, tolerance float64) bool {
	if len(windows) < stableWindows {
		return false
	}
	first, last := windows[len(windows)-stableWindows], windows[len(windows)-1]
	for i := len(windows) - stableWindows + 1; i < len(windows); i++ {
		if windows[i].P50MS <= windows[i-1].P50MS || windows[i].P99MS <= windows[i-1].P99MS {
			return false
		}
	}
	return last.P50MS > first.P50MS*(1+tolerance) && last.P99MS > first.P99MS*(1+tolerance)
}
