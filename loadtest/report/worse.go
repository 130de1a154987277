package report

import (
	"fmt"

	"fovea/loadtest"
)

// Worse lists the levels of the first result at which another is worse by more than a share (less throughput, a higher
// p99, or more failures) or missing. Of a search, only the rate it found counts.
func Worse(results []*loadtest.Result, share float64) []string {
	var worse []string
	first := results[0]
	for i, r := range results[1:] {
		label := Label(r, i+1)
		for _, name := range names(first) {
			for _, what := range worseLevel(find(first, name), find(r, name), share) {
				worse = append(worse, fmt.Sprintf("%s: %s: %s", label, name, what))
			}
		}
		switch {
		case first.Search == nil:
		case !sameSearch(first.Search, r.Search):
			worse = append(worse, fmt.Sprintf("%s: no search for a p99 below %s ms", label, plain(first.Search.P99BelowMS)))
		case r.Search.Rate < first.Search.Rate*(1-share):
			worse = append(worse, fmt.Sprintf("%s: the highest rate, %s, is below %s by more than %g %%", label, number(r.Search.Rate), number(first.Search.Rate), 100*share))
		}
	}
	return worse
}

// worseLevel compares level b with level a; b is nil if it is missing.
func worseLevel(a, b *loadtest.Level, share float64) []string {
	if b == nil {
		return []string{"not measured"}
	}
	var worse []string
	if b.Throughput < a.Throughput*(1-share) {
		worse = append(worse, fmt.Sprintf("throughput %s is below %s by more than %g %%", number(b.Throughput), number(a.Throughput), 100*share))
	}
	switch {
	case a.Requests == 0: // no p99 to compare with
	case b.Requests == 0:
		worse = append(worse, "no request succeeded")
	case b.Latency.P99MS > a.Latency.P99MS*(1+share):
		worse = append(worse, fmt.Sprintf("p99 of %s ms is above %s ms by more than %g %%", number(b.Latency.P99MS), number(a.Latency.P99MS), 100*share))
	}
	if b.ErrorRate() > a.ErrorRate()*(1+share) {
		worse = append(worse, fmt.Sprintf("%.3g %% of the images failed, which exceeds %.3g %% by more than %g %%", 100*b.ErrorRate(), 100*a.ErrorRate(), 100*share))
	}
	return worse
}
