package loadtest

import (
	"context"
	"errors"
)

// keptUp is the share of the rate that has to be answered for a trial to pass. It leaves room for the chance in Poisson
// arrivals.
const keptUp = 0.9

// search finds the highest rate whose p99 stays below the limit. It begins at the throughput of one request at a time.
func (r *run) search(ctx context.Context) error {
	c := r.plan.config
	r.result.Search = &Search{P99BelowMS: ms(c.P99Below), Level: -1, Interrupted: true}
	level, err := r.level(ctx, Level{Concurrency: 1, Purpose: "start of the search"}, 0)
	if err != nil {
		return err
	}
	start := level.Throughput / float64(c.Body.Images)
	if start <= 0 {
		return errors.New("the search cannot begin: no request was answered well")
	}
	s := newSearch(start, c.Precision)
	for rate, more := s.next(); more; rate, more = s.next() {
		passed, err := r.trial(ctx, rate)
		if err != nil {
			return err
		}
		s.tell(passed)
	}
	r.result.Search.Interrupted = false
	return nil
}

// trial tries a rate. One that fails is tried a second time, as one hiccup of a machine could end the search far too
// low otherwise.
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
		if level.Ended == overFailing {
			return false, nil
		}
	}
	return false, nil
}

// passed tells whether a trial met the limit: by its p99, its errors, and whether the server kept up with the rate.
func (r *run) passed(l *Level) bool {
	c := r.plan.config
	return l.Requests > 0 && l.Latency.P99MS <= ms(c.P99Below) && l.ErrorRate() <= c.MaxErrors &&
		l.Throughput >= keptUp*l.Rate*float64(c.Body.Images) && (l.Settled || !rising(l.Windows, c.Tolerance))
}

// rising tells whether p50 and p99 both rise from window to window, and by more than the tolerance over those of the
// figures: then requests pile up, and it is a matter of time until the p99 is above any limit. A p99 alone may well rise by
// chance.
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
