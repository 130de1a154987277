package main

import (
	"strings"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name   string
		ratios []float64
		want   string
	}{
		{"the median decides", []float64{1.2, 1.14, 1.1}, "x: 1.140 (1.100 to 1.200), at most 1.15: met\n"},
		{"above the limit", []float64{1.16, 1, 1.17}, "x: 1.160 (1.000 to 1.170), at most 1.15: NOT met\n"},
		{"at the limit", []float64{1.15}, "x: 1.150 (1.150 to 1.150), at most 1.15: met\n"},
	} {
		var out strings.Builder
		if judge(&out, "x", test.ratios, 1.15); out.String() != test.want {
			t.Errorf("%s: got %q, want %q", test.name, out.String(), test.want)
		}
	}
}

// Each round has its own speed: ratios are those of one round, not of medians of different ones.
func TestV2SummaryComparesWithinRounds(t *testing.T) {
	rates := func(milliseconds ...float64) (list []rate) {
		for _, ms := range milliseconds {
			list = append(list, rate{PerSecond: 100, CPU: time.Duration(ms * float64(time.Millisecond)), Mallocs: 10})
		}
		return list
	}
	rounds := map[string][]rate{
		inLoop: rates(1, 2, 4), rawHTTP: rates(1.1, 2.2, 4.4), rawGRPC: rates(1.2, 2.4, 4.8),
		imageV1: rates(2, 4, 8), imageHTTP: rates(2, 4, 8), imageGRPC: rates(2, 4, 8),
	}
	var ways []v2Way
	for name := range rounds {
		ways = append(ways, v2Way{name: name})
	}
	var out strings.Builder
	v2Summary(&out, ways, rounds)
	for _, want := range []string{
		"raw FP32, V2 binary HTTP / tensor, loop without server: 1.100 (1.100 to 1.100), at most 1.15: met\n",
		"raw FP32, V2 gRPC / tensor, loop without server: 1.200 (1.200 to 1.200), at most 1.15: NOT met\n",
		"JPEG, V2 gRPC / JPEG, POST /v1/models/M/predict: 1.000 (1.000 to 1.000), at most 1.03: met\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
}
