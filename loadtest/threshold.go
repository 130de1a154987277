package loadtest

import (
	"errors"
	"fmt"
	"time"
)

// Thresholds say when a result is good enough. Zero values ask for nothing, but for MaxErrors.
type Thresholds struct {
	MinThroughput float64       // images a second that the best level has to reach
	MaxP99        time.Duration // of every level
	MaxErrors     float64       // share of failed images of every level, in its figures and in the whole of it
	MinRate       float64       // requests a second that the search has to find
	Settled       bool          // every level has to have settled
}

// Validate tells all mistakes at once.
func (t Thresholds) Validate() error {
	var errs []error
	if t.MinThroughput < 0 {
		errs = append(errs, fmt.Errorf("min-throughput: %g is below zero", t.MinThroughput))
	}
	if t.MaxP99 < 0 {
		errs = append(errs, fmt.Errorf("max-p99: %s is below zero", t.MaxP99))
	}
	if t.MaxErrors < 0 || t.MaxErrors > 1 {
		errs = append(errs, fmt.Errorf("max-error-rate: %g is not in 0 to 1", t.MaxErrors))
	}
	if t.MinRate < 0 {
		errs = append(errs, fmt.Errorf("min-rate: %g is below zero", t.MinRate))
	}
	return errors.Join(errs...)
}

// Missed tells every threshold that the result misses. A level without a good answer is never good enough. Of a search
// only the rate that it found is judged: its other trials are meant to fail.
func (t Thresholds) Missed(r *Result) []string {
	var missed []string
	miss := func(format string, args ...any) { missed = append(missed, fmt.Sprintf(format, args...)) }
	best := 0.0
	for i, l := range r.Levels {
		if l.Purpose != "" && (r.Search == nil || r.Search.Level != i) {
			continue
		}
		best = max(best, l.Throughput)
		if l.Images == 0 {
			miss("%s: no image was answered well", l.Name())
		}
		if t.MaxP99 > 0 && (l.Requests == 0 || l.Latency.P99MS > ms(t.MaxP99)) {
			miss("%s: p99 of %g ms is above %g ms", l.Name(), l.Latency.P99MS, ms(t.MaxP99))
		}
		if l.ErrorRate() > t.MaxErrors {
			miss("%s: %.3g %% of the images failed; allowed are %.3g %%", l.Name(), 100*l.ErrorRate(), 100*t.MaxErrors)
		}
		if t.Settled && !l.Settled {
			miss("%s: not settled: %s", l.Name(), l.Ended)
		}
	}
	if best < t.MinThroughput {
		miss("throughput of %g images a second is below %g", best, t.MinThroughput)
	}
	if r.Search != nil && r.Search.Level < 0 {
		miss("no rate has a p99 below %g ms", r.Search.P99BelowMS)
	} else if t.MinRate > 0 && (r.Search == nil || r.Search.Rate < t.MinRate) {
		rate := 0.0
		if r.Search != nil {
			rate = r.Search.Rate
		}
		miss("the rate found, %g requests a second, is below %g", rate, t.MinRate)
	}
	return missed
}
