package loadtest

import (
	"errors"
	"fmt"
	"time"
)

// Thresholds decide whether a result is good enough. Zero values require nothing, except MaxErrors.
type Thresholds struct {
	MinThroughput float64       // images per second that the best level must reach
	MaxP99        time.Duration // of every level
	MaxErrors     float64       // share of failed images in every level's figures and in the whole level
	MinRate       float64       // requests per second that the search must find
	Stable        bool          // every level must be stable
}

// Validate reports all errors together.
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

// Missed lists the thresholds that the result misses. A level without a successful image always misses. Of a search, only
// the rate it found is judged: its other trials are expected to fail.
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
			miss("%s: no image succeeded", l.Name())
		}
		if t.MaxP99 > 0 && (l.Requests == 0 || l.Latency.P99MS > ms(t.MaxP99)) {
			miss("%s: p99 of %g ms is above %g ms", l.Name(), l.Latency.P99MS, ms(t.MaxP99))
		}
		if l.ErrorRate() > t.MaxErrors {
			miss("%s: %.3g %% of the images failed; %.3g %% are allowed", l.Name(), 100*l.ErrorRate(), 100*t.MaxErrors)
		}
		if t.Stable && !l.Stable {
			miss("%s: not stable: %s", l.Name(), l.Ended)
		}
	}
	if best < t.MinThroughput {
		miss("throughput of %g images per second is below %g", best, t.MinThroughput)
	}
	if r.Search != nil && r.Search.Level < 0 {
		miss("no rate found with a p99 below %g ms", r.Search.P99BelowMS)
	} else if t.MinRate > 0 && (r.Search == nil || r.Search.Rate < t.MinRate) {
		rate := 0.0
		if r.Search != nil {
			rate = r.Search.Rate
		}
		miss("the rate found, %g requests per second, is below %g", rate, t.MinRate)
	}
	return missed
}
