package pairs

import (
	"fmt"
	"io"
	"math"
	"slices"
)

// Metric is a figure that the guard watches.
type Metric struct {
	Name   string
	Higher bool // the higher the better
	of     func(Figures) float64
}

// Metrics are those that the guard watches. The p99 is not: its noise is far above any limit.
var Metrics = []Metric{
	{"images/s", true, perSecond},
	{"CPU time per image", false, cpu},
	{"latency of one request at a time", false, lone},
}

// Verdict is the comparison of two builds in one metric.
type Verdict struct {
	Loss  float64 // share that the new build is worse; negative: better
	Noise float64 // how far the loss of two equal builds may be from 0, from the measurements themselves
	Fails bool    // the loss exceeds the limit by more than the noise
	Blind bool    // a loss of the limit would not be noticed: more rounds, or a quieter machine, are needed
}

// Judge compares the ratios of the new build to the old one with those of the old build to itself, round by round. A loss
// counts beyond the limit and the noise.
//
// The noise is that of a median: 1.96 standard errors, for a confidence of 95 %, where that of a median of n values is 1.2533
// σ/√n (of a normal distribution). σ is the greater of both lists. If the old build differs from itself by more than that, this
// difference is the noise.
func Judge(ratios, control []float64, higher bool, limit float64) Verdict {
	loss := func(values []float64) float64 {
		if higher {
			return 1 - Median(values)
		}
		return Median(values) - 1
	}
	v := Verdict{Loss: loss(ratios)}
	sigma := max(deviation(ratios), deviation(control))
	v.Noise = max(1.96*1.2533*sigma/math.Sqrt(float64(len(ratios))), math.Abs(loss(control)))
	v.Fails = v.Loss-v.Noise > limit
	v.Blind = v.Noise > limit
	return v
}

// deviation is the standard deviation, estimated from the median of the absolute deviations from the median, so that one
// disturbed round of several counts little: 1.4826 times that median (of a normal distribution).
func deviation(values []float64) float64 {
	m := Median(values)
	off := make([]float64, len(values))
	for i, v := range values {
		off[i] = math.Abs(v - m)
	}
	return 1.4826 * Median(off)
}

// The variants of a guard, in this order.
const (
	oldBuild = iota
	sameBuild
	newBuild
)

// Guarded returns the variants that JudgeAll expects: the old build twice, and the new one.
func Guarded(older, newer string) []Variant {
	return []Variant{{Name: "old", Processes: 1, Program: older}, {Name: "old again", Processes: 1, Program: older},
		{Name: "new", Processes: 1, Program: newer}}
}

// JudgeAll writes the verdict on each metric and returns whether one fails, and whether one is blind.
func JudgeAll(out io.Writer, rounds []Round, limit float64) (fails, blind bool) {
	fmt.Fprintf(out, "\n%-34s %9s %9s   %s\n", "", "loss", "noise", "new to old: median (lowest to highest)")
	for _, m := range Metrics {
		if slices.ContainsFunc(rounds, func(r Round) bool { return m.of(r[oldBuild]) == 0 }) {
			continue // not measured
		}
		newer := newRatios(rounds, m.of)
		v := Judge(newer, ratios(rounds, sameBuild, oldBuild, m.of), m.Higher, limit)
		word := ""
		switch {
		case v.Fails:
			word = "  LOSS"
		case v.Blind:
			word = "  too noisy for a verdict"
		}
		fmt.Fprintf(out, "%-34s %+8.1f%% %8.1f%%   %s%s\n", m.Name, 100*v.Loss, 100*v.Noise, Spread(newer), word)
		fails, blind = fails || v.Fails, blind || v.Blind && !v.Fails
	}
	return fails, blind
}

// newRatios are the ratios of the new build to the mean of the old build's two turns in the same round.
func newRatios(rounds []Round, of func(Figures) float64) []float64 {
	var list []float64
	for _, r := range rounds {
		list = append(list, 2*of(r[newBuild])/(of(r[oldBuild])+of(r[sameBuild])))
	}
	return list
}
