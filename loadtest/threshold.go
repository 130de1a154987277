package loadtest

import (
	"fmt"
	"time"
)

// Thresholds decide whether a result is good enough. Zero values are ignored, except for MaxErrors.
type Thresholds struct {
	MinThroughput float64       `yaml:"min-throughput" range:"0..1000000000" help:"exit 1 if no level reaches this many images per second"`
	MaxP99        time.Duration `yaml:"max-p99" range:"0s..1h" help:"exit 1 if a level's p99 is above"`
	MaxErrors     float64       `yaml:"max-error-rate" range:"0..1" help:"exit 1 if more than this share of a level's images fails; the search applies it, too"`
	MinRate       float64       `yaml:"min-rate" range:"0..1000000000" help:"exit 1 if the search finds no rate this high"`
	Stable        bool          `yaml:"stable" help:"exit 1 if a level is not stable"`
}

// Missed lists the thresholds that the result misses. A level without a successful image always misses. Of a search, only
// the rate it found is judged: its other steps are expected to fail.
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
	var search Search
	if r.Search != nil {
		search = *r.Search
	}
	switch {
	case search.Level < 0:
		miss("no rate found with a p99 below %g ms", search.P99BelowMS)
	case search.Rate < t.MinRate:
		miss("the rate found, %g requests per second, is below %g", search.Rate, t.MinRate)
	}
	return missed
}
