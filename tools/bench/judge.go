package main

import (
	"fmt"
	"io"

	"fovea/tools/bench/pairs"
)

// judge prints ratios of neighboring measurements, and whether their median is within a limit.
func judge(out io.Writer, what string, ratios []float64, limit float64) {
	verdict := "NOT met"
	if pairs.Median(ratios) <= limit {
		verdict = "met"
	}
	fmt.Fprintf(out, "%s: %s, at most %.2f: %s\n", what, pairs.Spread(ratios), limit, verdict)
}

// quotients divides the values of each round.
func quotients(values, by []float64) []float64 {
	list := make([]float64, len(values))
	for i, v := range values {
		list[i] = v / by[i]
	}
	return list
}
