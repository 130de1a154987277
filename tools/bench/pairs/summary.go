package pairs

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Median returns the middle of the values; of an even number, the mean of the two in the middle.
func Median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratios returns a figure of variant i divided by that of variant base, by round.
func ratios(rounds []Round, i, base int, of func(Figures) float64) []float64 {
	var list []float64
	for _, r := range rounds {
		list = append(list, of(r[i])/of(r[base]))
	}
	return list
}

func perSecond(f Figures) float64 { return f.PerSecond }
func p99(f Figures) float64       { return f.P99MS }
func lone(f Figures) float64      { return f.LoneMS }
func cpu(f Figures) float64       { return f.CPUMS }

// Summarize writes medians of the ratios to the first variant, with their range, and medians of the counters per image.
func Summarize(out io.Writer, variants []Variant, rounds []Round) {
	if len(rounds) == 0 {
		return
	}
	fmt.Fprintf(out, "\nratios to %s: median (lowest to highest) of %d rounds\n\n", variants[0].Name, len(rounds))
	fmt.Fprintf(out, "| variant | images/s | p99 | alone | CPU time |\n|---|---|---|---|---|\n")
	for i := 1; i < len(variants); i++ {
		var cells []string
		for _, of := range []func(Figures) float64{perSecond, p99, lone, cpu} {
			cells = append(cells, Spread(ratios(rounds, i, 0, of)))
		}
		fmt.Fprintf(out, "| %s | %s |\n", variants[i].Name, strings.Join(cells, " | "))
	}
	fmt.Fprintf(out, "\nper image, medians; interrupts are those of the whole machine\n\n| variant | images/s | load ms |")
	for _, f := range (&Counters{}).fields() {
		fmt.Fprintf(out, " %s |", f.title)
	}
	fmt.Fprintf(out, "\n|---%s|\n", strings.Repeat("|---", 2+len((&Counters{}).fields())))
	for i, v := range variants {
		middle := func(of func(Figures) float64) float64 {
			var list []float64
			for _, r := range rounds {
				list = append(list, of(r[i]))
			}
			return Median(list)
		}
		fmt.Fprintf(out, "| %s | %.1f | %.2f |", v.Name, middle(perSecond), middle(func(f Figures) float64 { return f.LoadMS }))
		for at := range (&Counters{}).fields() {
			fmt.Fprintf(out, " %.2f |", middle(func(f Figures) float64 {
				one := f.Counters.fields()[at]
				return *one.value * one.scale
			}))
		}
		fmt.Fprintln(out)
	}
}

// Spread renders ratios as their median with the lowest and highest.
func Spread(values []float64) string {
	m := Median(values)
	if math.IsNaN(m) || math.IsInf(m, 0) {
		return "–"
	}
	return fmt.Sprintf("%.3f (%.3f to %.3f)", m, slices.Min(values), slices.Max(values))
}
