package peers

import (
	"fmt"
	"slices"
	"strings"

	"fovea/tools/bench/pairs"
)

// view is one server in one cell over all rounds. Its figures are medians over the rounds, NaN if there are none.
type view struct {
	all          []Sample
	cell, server string
}

func (v view) samples() []Sample {
	var list []Sample
	for _, s := range v.all {
		if s.Cell == v.cell && s.Server == v.server {
			list = append(list, s)
		}
	}
	return list
}

func (v view) any() bool { return len(v.samples()) > 0 }

// The figures of a level, and of a sample.
func throughput(l Level) float64 { return l.Throughput }
func p50(l Level) float64        { return l.P50MS }
func p99(l Level) float64        { return l.P99MS }
func cpu(l Level) float64        { return l.CPUMS }
func rateOf(l Level) float64     { return l.Rate }
func peak(s Sample) float64      { return s.PeakMiB }
func startup(s Sample) float64   { return s.StartupMS }

// at selects the closed loop of a concurrency; 0 is the baseline.
func at(concurrency int) func(Level) bool {
	return func(l Level) bool { return l.Rate == 0 && l.Concurrency == concurrency }
}

func atRate(l Level) bool { return l.Rate > 0 }

func (v view) level(pick func(Level) bool, of func(Level) float64) float64 {
	var values []float64
	for _, s := range v.samples() {
		for _, l := range s.Levels {
			if pick(l) {
				values = append(values, of(l))
			}
		}
	}
	return pairs.Median(values)
}

func (v view) sample(of func(Sample) float64) float64 {
	var values []float64
	for _, s := range v.samples() {
		values = append(values, of(s))
	}
	return pairs.Median(values)
}

// failures describes the failed images, if any.
func (v view) failures() string {
	failed, kinds := 0, map[string]bool{}
	for _, s := range v.samples() {
		for _, l := range s.Levels {
			failed += l.Failed
			for kind := range l.Failures {
				kinds[kind] = true
			}
		}
	}
	if failed == 0 {
		return ""
	}
	var list []string
	for kind := range kinds {
		list = append(list, kind)
	}
	slices.Sort(list)
	return fmt.Sprintf(" (%d failed: %s)", failed, strings.Join(list, ", "))
}
