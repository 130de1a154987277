package loadtest

import (
	"context"
	"errors"
)

// bisection finds the highest rate that passes: it doubles the rate until one fails, or halves it until one passes, then
// bisects. It assumes that rates are monotonic: above a rate that fails, all fail.
type bisection struct {
	rate      float64 // of the next step
	passed    float64 // highest; 0: none yet
	failed    float64 // lowest; 0: none yet
	minRate   float64
	precision float64
}

const (
	maxHalvings = 10 // of the rate at the start
	maxRate     = 1_000_000
)

// newBisection starts at a rate in requests per second and stops when its bounds are within precision, a share of the rate.
func newBisection(start, precision float64) *bisection {
	return &bisection{rate: start, minRate: max(start/(1<<maxHalvings), 0.1), precision: precision}
}

// next returns the rate to try; false if the bisection is finished.
func (b *bisection) next() (rate float64, more bool) {
	switch {
	case b.passed == 0 && b.failed == 0:
		return b.rate, true
	case b.passed == 0:
		b.rate = b.failed / 2
		return b.rate, b.rate >= b.minRate
	case b.failed == 0:
		b.rate = b.passed * 2
		return b.rate, b.rate <= maxRate
	}
	b.rate = (b.passed + b.failed) / 2
	return b.rate, b.failed > b.passed*(1+b.precision)
}

// record stores the outcome of a step at the rate that next returned.
func (b *bisection) record(passed bool) {
	if passed {
		b.passed = b.rate
	} else {
		b.failed = b.rate
	}
}

// minRateShare is the share of the rate that must be answered for a step to pass. It leaves room for the randomness of
// Poisson arrivals.
const minRateShare = 0.9

// findRate finds the highest rate whose p99 stays below the limit, starting at the throughput of one request at a time.
func (r *run) findRate(ctx context.Context) error {
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
	b := newBisection(start, c.Precision)
	for rate, more := b.next(); more; rate, more = b.next() {
		passed, err := r.step(ctx, rate)
		if err != nil {
			return err
		}
		b.record(passed)
	}
	r.result.Search.Interrupted = false
	return nil
}

// step tests a rate. A step that fails is repeated once: otherwise a single hiccup of a machine could end the search far
// too low.
func (r *run) step(ctx context.Context, rate float64) (bool, error) {
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

// passed reports whether a step met the limit: by its p99, its failures, and whether the server kept up with the rate.
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
