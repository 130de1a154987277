package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"fovea/loadtest"
)

// Compare compares each result with the first, by the levels of the first.
func Compare(results []*loadtest.Result) (Table, error) {
	if len(results) < 2 {
		return Table{}, errors.New("a comparison needs at least two results")
	}
	if !slices.ContainsFunc(results[1:], func(r *loadtest.Result) bool { return overlap(results[0], r) }) {
		return Table{}, errors.New("the first result has neither a level nor a search in common with any other")
	}
	t := Table{Title: "Compared with the first", Head: []string{"level", "result", "images/s", "×", "p50 ms", "×", "p99 ms", "×", "CPU ms/image", "failed", "stable"}}
	for _, name := range names(results[0]) {
		first := find(results[0], name)
		for i, r := range results {
			row := emptyRow(name, Label(r, i))
			if l := find(r, name); l != nil {
				row[2], row[3] = number(l.Throughput), ratio(l.Throughput, first.Throughput)
				if l.Requests > 0 {
					row[4], row[5] = number(l.Latency.P50MS), ratio(l.Latency.P50MS, first.Latency.P50MS)
					row[6], row[7] = number(l.Latency.P99MS), ratio(l.Latency.P99MS, first.Latency.P99MS)
				}
				if l.Server != nil {
					row[8] = optional(l.Server.CPUMSPerImage, 1)
				}
				row[9], row[10] = failed(*l), stable(*l)
			}
			t.Rows = append(t.Rows, row)
		}
	}
	t.Rows = append(t.Rows, searches(results)...)
	return t, nil
}

// emptyRow returns a row of a comparison without figures.
func emptyRow(level, label string) []string {
	return append([]string{level, label}, slices.Repeat([]string{none}, 9)...)
}

// searches compares the results of searches with the first one's limit.
func searches(results []*loadtest.Result) [][]string {
	first := results[0].Search
	if first == nil {
		return nil
	}
	var rows [][]string
	for i, r := range results {
		row := emptyRow("highest rate, p99 < "+plain(first.P99BelowMS)+" ms", Label(r, i))
		if sameSearch(first, r.Search) {
			row[2], row[3] = number(r.Search.Rate), ratio(r.Search.Rate, first.Rate)
		}
		if r.Search != nil && r.Search.Interrupted {
			row[10] = "NO: interrupted"
		}
		rows = append(rows, row)
	}
	return rows
}

// Differences lists differences in load and target from the first result, which make figures differ for reasons other than
// the server.
func Differences(results []*loadtest.Result) []string {
	var list []string
	first := results[0]
	for i, r := range results[1:] {
		differ := func(what string, a, b any) {
			if a != b {
				list = append(list, fmt.Sprintf("%s was measured differently from %s: %s: %v instead of %v", Label(r, i+1), Label(first, 0), what, b, a))
			}
		}
		a, b := first.Load, r.Load
		differ("server", kind(first.Target), kind(r.Target))
		if kind(first.Target) == kind(r.Target) {
			differ("model", first.Target.Model, r.Target.Model)
		}
		differ("images", a.Images, b.Images)
		differ("mean bytes per image", a.ImageBytes, b.ImageBytes)
		differ("protocol", cmp.Or(a.Protocol, loadtest.V1), cmp.Or(b.Protocol, loadtest.V1))
		differ("input", cmp.Or(a.Input, loadtest.EncodedImages), cmp.Or(b.Input, loadtest.EncodedImages))
		if a.Body != "" && b.Body != "" {
			differ("body", a.Body, b.Body)
		}
		differ("images per request", a.ImagesPerRequest, b.ImagesPerRequest)
		if a.Arrivals != "" && b.Arrivals != "" {
			differ("arrivals", a.Arrivals, b.Arrivals)
		}
	}
	return list
}

// kind returns the kind of server: only Fovea's results name a model.
func kind(t loadtest.Target) string {
	if t.Model != "" {
		return "Fovea"
	}
	return "another server"
}

// Label names the result at an index: by its label, or by its number.
func Label(r *loadtest.Result, index int) string {
	if r.Label != "" {
		return r.Label
	}
	return fmt.Sprintf("result %d", index+1)
}

// names returns the names of a result's levels in order, without those of a search.
func names(r *loadtest.Result) []string {
	var list []string
	for _, l := range r.Levels {
		if name := l.Name(); l.Purpose == "" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

func overlap(first, r *loadtest.Result) bool {
	return sameSearch(first.Search, r.Search) ||
		slices.ContainsFunc(names(first), func(name string) bool { return find(r, name) != nil })
}

// sameSearch reports whether both searched for the same limit.
func sameSearch(a, b *loadtest.Search) bool {
	return a != nil && b != nil && a.P99BelowMS == b.P99BelowMS
}

func find(r *loadtest.Result, name string) *loadtest.Level {
	for i, l := range r.Levels {
		if l.Purpose == "" && l.Name() == name {
			return &r.Levels[i]
		}
	}
	return nil
}

func ratio(v, to float64) string {
	if to == 0 {
		return none
	}
	return fmt.Sprintf("%.2f", v/to)
}

// Worse lists the levels of the first result that are missing in another, or worse there by more than a share (less
// throughput, a higher p99, or more failures). Of a search, only the rate it found counts.
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

// Compared is a level of a result next to that of the first one.
type Compared struct {
	Level           string   `json:"level"`
	Result          string   `json:"result"`     // its label
	Throughput      float64  `json:"throughput"` // images per second
	ThroughputRatio *float64 `json:"throughput_ratio"`
	P50MS           float64  `json:"p50_ms"`
	P50Ratio        *float64 `json:"p50_ratio"`
	P99MS           float64  `json:"p99_ms"`
	P99Ratio        *float64 `json:"p99_ratio"`
	Stable          bool     `json:"stable"`
}

// Comparison lists the levels of results that the first has, for programs. A ratio is nil where the first has no value.
func Comparison(results []*loadtest.Result) []Compared {
	list := []Compared{}
	of := func(value, first float64) *float64 {
		if first == 0 {
			return nil
		}
		value /= first
		return &value
	}
	for _, name := range names(results[0]) {
		first := find(results[0], name)
		for i, r := range results {
			l := find(r, name)
			if l == nil {
				continue
			}
			list = append(list, Compared{Level: name, Result: Label(r, i), Stable: l.Stable,
				Throughput: l.Throughput, ThroughputRatio: of(l.Throughput, first.Throughput),
				P50MS: l.Latency.P50MS, P50Ratio: of(l.Latency.P50MS, first.Latency.P50MS),
				P99MS: l.Latency.P99MS, P99Ratio: of(l.Latency.P99MS, first.Latency.P99MS)})
		}
	}
	return list
}
