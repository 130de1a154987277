package main

import (
	"fmt"
	"io"
	"slices"
)

// judge prints ratios of neighboring measurements, and whether their median is within a limit.
func judge(out io.Writer, what string, ratios []float64, limit float64) {
	verdict := "met"
	if median(ratios) > limit {
		verdict = "NOT met"
	}
	fmt.Fprintf(out, "%s: %s, at most %.2f: %s\n", what, spread(ratios), limit, verdict)
}

// quotients divides the values of each round.
func quotients(values, by []float64) []float64 {
	list := make([]float64, len(values))
	for i, v := range values {
		list[i] = v / by[i]
	}
	return list
}

// spread shows the median of values and how far they are apart.
func spread(values []float64) string {
	return fmt.Sprintf("%.3f (%.3f to %.3f)", median(values), slices.Min(values), slices.Max(values))
}
