package report

import (
	"errors"
	"fmt"
	"slices"

	"fovea/loadtest"
)

// Compare puts results side by side, level by level; each is set against the first.
func Compare(results []*loadtest.Result) (Table, error) {
	if len(results) < 2 {
		return Table{}, errors.New("a comparison needs two results or more")
	}
	t := Table{Title: "Each against the first", Head: []string{"level", "result", "images/s", "×", "p50 ms", "×", "p99 ms", "×", "CPU ms/image", "failed", "settled"}}
	for _, name := range common(results) {
		first := find(results[0], name)
		for i, r := range results {
			l := find(r, name)
			if l == nil {
				t.Rows = append(t.Rows, []string{name, Label(r, i), none, none, none, none, none, none, none, none, none})
				continue
			}
			cpu := none
			if l.Server != nil {
				cpu = optional(l.Server.CPUMSPerImage, 1)
			}
			t.Rows = append(t.Rows, []string{
				name, Label(r, i),
				number(l.Throughput), ratio(l.Throughput, first.Throughput),
				number(l.Latency.P50MS), ratio(l.Latency.P50MS, first.Latency.P50MS),
				number(l.Latency.P99MS), ratio(l.Latency.P99MS, first.Latency.P99MS),
				cpu, failed(*l), settled(*l),
			})
		}
	}
	t.Rows = append(t.Rows, found(results)...)
	if len(t.Rows) == 0 {
		return t, errors.New("the first result has neither a level nor a search in common with another")
	}
	return t, nil
}

// found compares what searches for the same limit found.
func found(results []*loadtest.Result) [][]string {
	first := results[0].Search
	if first == nil {
		return nil
	}
	var rows [][]string
	for i, r := range results {
		if r.Search == nil || r.Search.P99BelowMS != first.P99BelowMS {
			continue
		}
		row := []string{"highest rate, p99 < " + plain(first.P99BelowMS) + " ms", Label(r, i), number(r.Search.Rate), ratio(r.Search.Rate, first.Rate)}
		rows = append(rows, append(row, none, none, none, none, none, none, none))
	}
	if len(rows) < 2 {
		return nil
	}
	return rows
}

// Worse tells every level at which a result is worse than the first by more than a share: less throughput, or a higher
// p99. Levels of a search are left out, but for what it found.
func Worse(results []*loadtest.Result, share float64) []string {
	var worse []string
	first := results[0]
	for i, r := range results[1:] {
		label := Label(r, i+1)
		for _, name := range common(results) {
			a, b := find(first, name), find(r, name)
			if b == nil {
				continue
			}
			if b.Throughput < a.Throughput*(1-share) {
				worse = append(worse, fmt.Sprintf("%s: %s: throughput %s is below %s by more than %g %%", label, name, number(b.Throughput), number(a.Throughput), 100*share))
			}
			if b.Requests == 0 || b.Latency.P99MS > a.Latency.P99MS*(1+share) {
				worse = append(worse, fmt.Sprintf("%s: %s: p99 of %s ms is above %s ms by more than %g %%", label, name, number(b.Latency.P99MS), number(a.Latency.P99MS), 100*share))
			}
		}
		if first.Search != nil && r.Search != nil && first.Search.P99BelowMS == r.Search.P99BelowMS && r.Search.Rate < first.Search.Rate*(1-share) {
			worse = append(worse, fmt.Sprintf("%s: the highest rate, %s, is below %s by more than %g %%", label, number(r.Search.Rate), number(first.Search.Rate), 100*share))
		}
	}
	return worse
}

// Label names a result: by its label, or by its place.
func Label(r *loadtest.Result, place int) string {
	if r.Label != "" {
		return r.Label
	}
	return fmt.Sprintf("result %d", place+1)
}

// common are the names of the first result's levels that another has too, in their order.
func common(results []*loadtest.Result) []string {
	var names []string
	for _, l := range results[0].Levels {
		name := l.Name()
		if l.Purpose != "" || slices.Contains(names, name) {
			continue
		}
		if slices.ContainsFunc(results[1:], func(r *loadtest.Result) bool { return find(r, name) != nil }) {
			names = append(names, name)
		}
	}
	return names
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
