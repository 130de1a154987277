package peers

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"fovea/tools/bench/pairs"
)

// column is one comparison of Fovea with others in a round.
type column struct {
	title, target string
	lower         bool                    // the lower the better
	peer          bool                    // with peers: a value on their side of 1 is bold
	of            func(r roundOf) float64 // NaN: not measured
}

// columns are those of the table of ratios. Those of a lone request and of memory have targets further from 1.
var columns = []column{
	{"images/s at 1: best peer", "≥ 1.3", false, true, func(r roundOf) float64 { return r.toPeer(throughputAt(1), math.Max) }},
	{"at 8", "≥ 1.00", false, true, func(r roundOf) float64 { return r.toPeer(throughputAt(8), math.Max) }},
	{"at 32", "≥ 1.00", false, true, func(r roundOf) float64 { return r.toPeer(throughputAt(32), math.Max) }},
	{"at 8: loop without HTTP", "≥ 0.97", false, false, func(r roundOf) float64 {
		return r.view("fovea").level(at(8), throughput) / r.view(baselineKey).level(at(0), throughput)
	}},
	{"CPU time: loop", "", true, false, func(r roundOf) float64 {
		return r.view("fovea").level(at(8), cpu) / r.view(baselineKey).level(at(0), cpu)
	}},
	{"p99 at 8: best peer", "≤ 1.00", true, true, func(r roundOf) float64 { return r.toPeer(p99At8, math.Min) }},
	{"p99 at equal load: best peer", "≤ 1.00", true, true, func(r roundOf) float64 { return r.toPeer(p99AtRate, math.Min) }},
	{"p99 at equal load: ideal queue", "≤ 1.10", true, false, roundOf.toIdeal},
	{"memory: smallest peer", "≤ 0.33", true, true, func(r roundOf) float64 {
		return r.toPeer(func(v view) float64 { return v.sample(peak) }, math.Min)
	}},
	{"first response: fastest peer", "≤ 0.33", true, true, func(r roundOf) float64 {
		return r.toPeer(func(v view) float64 { return v.sample(startup) }, math.Min)
	}},
}

func throughputAt(n int) func(view) float64 {
	return func(v view) float64 { return v.level(at(n), throughput) }
}
func p99At8(v view) float64    { return v.level(at(8), p99) }
func p99AtRate(v view) float64 { return v.level(atRate, p99) }

// roundOf are the samples of a cell in one round. Its turns are close in time, so that changes in the machine's speed affect
// a ratio least.
type roundOf struct {
	samples []Sample
	cell    string
	cores   int // of the machine
}

func (r roundOf) view(key string) view { return view{r.samples, r.cell, key} }

// toPeer divides Fovea's figure by the best of the peers'.
func (r roundOf) toPeer(figure func(view) float64, best func(a, b float64) float64) float64 {
	found := math.NaN()
	for _, s := range servers[1:] {
		switch v := figure(r.view(s.key)); {
		case math.IsNaN(found):
			found = v
		case !math.IsNaN(v):
			found = best(found, v)
		}
	}
	return figure(r.view("fovea")) / found
}

// toIdeal divides Fovea's p99 at random arrivals by that of an ideal queue at the same rate, whose cores take as long for an
// image as Fovea's at its highest throughput.
func (r roundOf) toIdeal() float64 {
	fovea := r.view("fovea")
	rate, highest := fovea.level(atRate, rateOf), 0.0
	for _, n := range concurrencies {
		highest = max(highest, fovea.level(at(n), throughput))
	}
	if math.IsNaN(rate) || highest == 0 || rate >= highest {
		return math.NaN()
	}
	return p99AtRate(fovea) / (1000 * idealP99(rate, float64(r.cores)/highest, r.cores))
}

// ratios writes the table that compares Fovea with the others: of each ratio the median over the rounds, and the lowest and
// highest. Where a peer is better the ratio is bold.
func ratios(b *strings.Builder, r *Result) {
	b.WriteString("|")
	for _, c := range columns {
		b.WriteString(" | " + c.title)
	}
	b.WriteString(" |\n|" + strings.Repeat("---|", len(columns)+1) + "\n| target")
	for _, c := range columns {
		b.WriteString(" | " + c.target)
	}
	b.WriteString(" |\n")
	medians := make([][]float64, len(columns))
	for _, c := range cells() {
		values := make([][]float64, len(columns))
		for _, samples := range rounds(r.Samples, c.name()) {
			for i, column := range columns {
				if v := column.of(roundOf{samples, c.name(), r.Machine.Cores}); !math.IsNaN(v) {
					values[i] = append(values[i], v)
				}
			}
		}
		if !slices.ContainsFunc(values, func(v []float64) bool { return len(v) > 0 }) {
			continue
		}
		fmt.Fprintf(b, "| %s", c.name())
		for i, column := range columns {
			medians[i] = append(medians[i], middles(values[i])...)
			b.WriteString(" | " + column.render(values[i]))
		}
		b.WriteString(" |\n")
	}
	b.WriteString("| median cell")
	for i, column := range columns {
		b.WriteString(" | " + column.render(middles(medians[i])))
	}
	b.WriteString(" |\n")
}

// middles is the median of values; none if there are none.
func middles(values []float64) []float64 {
	if len(values) == 0 {
		return nil
	}
	return []float64{pairs.Median(values)}
}

// render writes the median of ratios and, of several, the lowest and highest.
func (c column) render(values []float64) string {
	m := pairs.Median(values)
	text := number(m)
	if c.peer && (c.lower && m > 1 || !c.lower && m < 1) {
		text = "**" + text + "**"
	}
	if len(values) > 1 {
		text += fmt.Sprintf(" (%s–%s)", number(slices.Min(values)), number(slices.Max(values)))
	}
	return text
}

// rounds returns the samples of a cell by their round.
func rounds(all []Sample, cellName string) map[int][]Sample {
	found := map[int][]Sample{}
	for _, s := range all {
		if s.Cell == cellName {
			found[s.Round] = append(found[s.Round], s)
		}
	}
	return found
}
