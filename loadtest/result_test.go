package loadtest

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fovea/internal/config"
)

func truth(v bool) *bool { return &v }

// example is a result with everything in it.
func example() *Result {
	share, watts := 0.5, 200.0
	return &Result{
		Format: Format, Label: "x", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Seconds: 12,
		Client: Machine{OS: "linux", Arch: "amd64", Cores: 2}, Target: Target{URL: "http://127.0.0.1:8000/predict"},
		Load: Load{Images: 1, ImageBytes: 10, Body: Raw, ImagesPerRequest: 1},
		Levels: []Level{
			{Concurrency: 1, Stable: true, Throughput: 100, Images: 300, Requests: 300, Latency: Latency{P99MS: 10}, Windows: []Window{}},
			{Rate: 50, Purpose: "search", Passed: truth(true), Throughput: 50, Images: 100, Requests: 100, Latency: Latency{P99MS: 20}, Windows: []Window{}},
			{Rate: 99, Purpose: "search", Passed: truth(false), Images: 1, Failed: 99, Failures: map[string]int{"timeout": 99}, Windows: []Window{}},
		},
		Search: &Search{P99BelowMS: 30, Rate: 50, Level: 1},
		GPUs:   []GPU{{UUID: "GPU-1", Samples: []GPUSample{{Seconds: 1, Utilization: &share, Watts: &watts}}}},
	}
}

func TestResultRoundTrip(t *testing.T) {
	var b bytes.Buffer
	if err := example().Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&b)
	if err != nil || !reflect.DeepEqual(got, example()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestReadRefusesInvalidResults(t *testing.T) {
	for _, test := range []struct{ name, text, wrong string }{
		{"no JSON", "hello", "not a result"},
		{"nothing", "", "not a result"},
		{"another program's JSON", `{"a":1}`, "it has format 0"},
		{"a later format", `{"format":2,"levels":[{"rate":1}]}`, "it has format 2"},
		{"no levels", `{"format":1}`, "no levels"},
		{"a level of nothing", `{"format":1,"levels":[{}]}`, "level 0 must have"},
		{"a level of both", `{"format":1,"levels":[{"rate":1},{"rate":1,"concurrency":1}]}`, "level 1 must have"},
		{"a count below zero", `{"format":1,"levels":[{"rate":1,"failed":-1}]}`, "negative count"},
		{"a search that found a level beyond", `{"format":1,"levels":[{"rate":1}],"search":{"level":1}}`, "level 1 is not in"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Read(strings.NewReader(test.text)); err == nil || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestThresholds(t *testing.T) {
	for _, test := range []struct {
		name   string
		t      Thresholds
		change func(*Result)
		want   []string // parts of what is missed, in order
	}{
		{name: "nothing is asked, and steps of the search may fail", t: Thresholds{}},
		{name: "all are met", t: Thresholds{MinThroughput: 100, MaxP99: 20 * time.Millisecond, MinRate: 50}},
		{name: "throughput of the best level", t: Thresholds{MinThroughput: 101}, want: []string{"throughput of 100"}},
		{name: "p99 of the level that the search found", t: Thresholds{MaxP99: 15 * time.Millisecond}, want: []string{"rate 50: p99"}},
		{name: "the rate found", t: Thresholds{MinRate: 51}, want: []string{"the rate found, 50"}},
		{name: "not stable", t: Thresholds{Stable: true}, want: []string{"rate 50: not stable"}},
		{name: "failures, of which none are allowed unless it is said", t: Thresholds{}, change: func(r *Result) { r.Levels[0].Failed = 3 }, want: []string{"concurrency 1: 0.99 %"}},
		{name: "failures that are allowed", t: Thresholds{MaxErrors: 0.01}, change: func(r *Result) { r.Levels[0].Failed = 3 }},
		{name: "no good answer has no p99", t: Thresholds{MaxP99: time.Second, MaxErrors: 1}, change: func(r *Result) { r.Levels[0].Requests = 0 }, want: []string{"concurrency 1: p99"}},
		{name: "no good answer at all is never enough", t: Thresholds{MaxErrors: 1}, change: func(r *Result) { r.Levels[0].Images, r.Levels[0].Requests = 0, 0 }, want: []string{"concurrency 1: no image"}},
		{name: "a search that found nothing", t: Thresholds{}, change: func(r *Result) { r.Search.Level, r.Search.Rate = -1, 0 }, want: []string{"no rate found with a p99 below 30 ms"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := example()
			if test.change != nil {
				test.change(r)
			}
			got := test.t.Missed(r)
			if len(got) != len(test.want) || slices.ContainsFunc(test.want, func(part string) bool {
				return !strings.Contains(got[slices.Index(test.want, part)], part)
			}) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestThresholdsAreChecked(t *testing.T) {
	err := config.Check(Thresholds{MinThroughput: -1, MaxP99: -1, MaxErrors: 2, MinRate: -1})
	for _, key := range []string{"min-throughput", "max-p99", "max-error-rate", "min-rate"} {
		if err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("%s is not in: %v", key, err)
		}
	}
}

// FuzzRead: a result file may come from anywhere.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := example().Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"format":1,"levels":[{"rate":1e-300,"latency":{"p99_ms":1e308}}],"search":{"level":0}}`))
	f.Add([]byte(`{"format":1,"levels":[{"concurrency":1,"server":{"stages":[{}]},"gpus":[{}]}],"gpus":[{"samples":[{}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := r.Write(&out); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := Read(&out)
		if err != nil || len(again.Levels) != len(r.Levels) {
			t.Errorf("what was written cannot be read: %v", err)
		}
		_ = Thresholds{MaxP99: 1, MinRate: 1, Stable: true}.Missed(r)
	})
}
