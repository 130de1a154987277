package report

import (
	"bytes"
	"strings"
	"testing"

	"fovea/loadtest"
)

func TestCompare(t *testing.T) {
	before, after, other := example(t), example(t), example(t)
	before.Label, after.Label, other.Label = "before", "after", ""
	after.Levels[0].Throughput, after.Levels[0].Latency.P99MS = 220, 9
	after.Search.Rate = 40.25
	other.Levels, other.Search = other.Levels[1:2], nil
	before.Levels = append(before.Levels, loadtest.Level{Rate: 12341, Throughput: 5}, loadtest.Level{Rate: 99, Throughput: 5})
	after.Levels = append(after.Levels, loadtest.Level{Rate: 12344, Throughput: 6})
	table, err := Compare([]*loadtest.Result{before, after, other})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, row := range table.Rows {
		if len(row) != len(table.Head) {
			t.Fatalf("%d cells under %d heads: %q", len(row), len(table.Head), row)
		}
		rows[row[0]+"/"+row[1]] = strings.Join(row[2:8], " ")
	}
	for key, want := range map[string]string{
		"concurrency 1/before":             "110.0 1.00 8.00 1.00 12.00 1.00",
		"concurrency 1/after":              "220.0 2.00 8.00 1.00 9.00 0.75",
		"concurrency 1/result 3":           "– – – – – –",
		"concurrency 8/result 3":           "150.0 1.00 50.00 1.00 90.00 1.00",
		"rate 12341/before":                "5.00 1.00 – – – –",
		"rate 12341/after":                 "– – – – – –",
		"rate 99/after":                    "– – – – – –",
		"highest rate, p99 < 50 ms/before": "80.50 1.00 – – – –",
		"highest rate, p99 < 50 ms/after":  "40.25 0.50 – – – –",

		"highest rate, p99 < 50 ms/result 3": "– – – – – –",
	} {
		if rows[key] != want {
			t.Errorf("%s: %q, want %q", key, rows[key], want)
		}
	}
	var b bytes.Buffer
	if err := HTML(&b, []*loadtest.Result{before, after}); err != nil || !strings.Contains(b.String(), "Compared with the first") {
		t.Errorf("page: %v", err)
	}
}

func TestInvalidComparisons(t *testing.T) {
	a, b := example(t), example(t)
	if _, err := Compare([]*loadtest.Result{a}); err == nil {
		t.Error("one alone")
	}
	for i := range b.Levels {
		b.Levels[i].Concurrency, b.Levels[i].Rate = 0, 1e6
	}
	b.Search = nil
	if _, err := Compare([]*loadtest.Result{a, b}); err == nil || !strings.Contains(err.Error(), "in common") {
		t.Errorf("nothing in common: %v", err)
	}
	if err := HTML(&bytes.Buffer{}, nil); err == nil {
		t.Error("a page of nothing")
	}
}

func TestWorse(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*loadtest.Result)
		want   string
	}{
		{"the same", func(*loadtest.Result) {}, ""},
		{"better", func(r *loadtest.Result) { r.Levels[0].Throughput, r.Levels[0].Latency.P99MS = 500, 1 }, ""},
		{"worse within a tenth", func(r *loadtest.Result) { r.Levels[0].Throughput, r.Levels[0].Latency.P99MS = 100, 13 }, ""},
		{"less throughput", func(r *loadtest.Result) { r.Levels[0].Throughput = 98 }, "throughput 98.00 is below 110.0"},
		{"a higher p99", func(r *loadtest.Result) { r.Levels[0].Latency.P99MS = 14 }, "p99 of 14.00 ms"},
		{"nothing was answered", func(r *loadtest.Result) { r.Levels[0].Requests, r.Levels[0].Latency.P99MS = 0, 0 }, "no request succeeded"},
		{"failures where there were none", func(r *loadtest.Result) { r.Levels[0].Failed = 1 }, "0.151 % of the images failed"},
		{"more failures, though before the windows of the figures", func(r *loadtest.Result) { r.Levels[1].Failures["timeout"] += 10 }, "2.68 % of the images failed"},
		{"more failures within a tenth", func(r *loadtest.Result) { r.Levels[1].Failures["timeout"] += 2 }, ""},
		{"fewer failures", func(r *loadtest.Result) { r.Levels[1].Failed, r.Levels[1].Failures = 0, nil }, ""},
		{"a level is missing", func(r *loadtest.Result) { r.Levels = r.Levels[1:] }, "concurrency 1: not measured"},
		{"nothing was searched", func(r *loadtest.Result) { r.Search = nil }, "no search"},
		{"another limit was searched for", func(r *loadtest.Result) { r.Search.P99BelowMS = 80 }, "no search for a p99 below 50 ms"},
		{"a lower rate found", func(r *loadtest.Result) { r.Search.Rate = 70 }, "the highest rate, 70.00"},
		{"a step of the search is not judged", func(r *loadtest.Result) { r.Levels[2].Throughput = 1 }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			after := example(t)
			test.change(after)
			worse := Worse([]*loadtest.Result{example(t), after}, 0.1)
			if (len(worse) == 0) != (test.want == "") || len(worse) > 0 && !strings.Contains(worse[0], test.want) {
				t.Errorf("got %q", worse)
			}
		})
	}
}

func TestNothingIsWorseThanNoResponses(t *testing.T) {
	before, after := example(t), example(t)
	l := &before.Levels[0]
	l.Throughput, l.Images, l.Requests, l.Failed, l.Latency = 0, 0, 0, 660, loadtest.Latency{}
	if worse := Worse([]*loadtest.Result{before, after}, 0.1); len(worse) > 0 {
		t.Errorf("got %q", worse)
	}
	table, err := Compare([]*loadtest.Result{before, after})
	if err != nil || strings.Join(table.Rows[0][2:8], " ") != "0 – – – – –" || strings.Join(table.Rows[1][2:8], " ") != "110.0 – 8.00 – 12.00 –" {
		t.Errorf("got %q, %v", table.Rows, err)
	}
}

func TestDifferences(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*loadtest.Result)
		want   string
	}{
		{"none", func(*loadtest.Result) {}, ""},
		{"another address, version or device is what a comparison is for", func(r *loadtest.Result) {
			r.Target.URL, r.Target.Version, r.Target.Device = "http://other/predict", "4", "cuda:0"
		}, ""},
		{"another model", func(r *loadtest.Result) { r.Target.Model = "d" }, "model: d instead of m"},
		{"another server", func(r *loadtest.Result) { r.Target.Model = "" }, "server: another server instead of Fovea"},
		{"more images", func(r *loadtest.Result) { r.Load.Images = 5 }, "images: 5 instead of 4"},
		{"larger images", func(r *loadtest.Result) { r.Load.ImageBytes = 4096 }, "mean bytes per image: 4096 instead of 2048"},
		{"another body", func(r *loadtest.Result) { r.Load.Body = loadtest.JSON }, "body: json instead of raw"},
		{"several images a request", func(r *loadtest.Result) { r.Load.ImagesPerRequest = 8 }, "images per request: 8 instead of 1"},
		{"other arrivals", func(r *loadtest.Result) { r.Load.Arrivals = loadtest.Constant }, "arrivals: constant instead of poisson"},
		{"no open loop has no arrivals", func(r *loadtest.Result) { r.Load.Arrivals = "" }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			after := example(t)
			after.Label = "after"
			test.change(after)
			got := strings.Join(Differences([]*loadtest.Result{example(t), after}), "\n")
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) || strings.Contains(got, "\n") {
				t.Errorf("got %q", got)
			}
			var page bytes.Buffer
			if err := HTML(&page, []*loadtest.Result{example(t), after}); err != nil || strings.Contains(page.String(), "measured differently") != (got != "") {
				t.Errorf("the page: %v", err)
			}
		})
	}
}
