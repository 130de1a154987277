package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"fovea/loadtest"
)

// example is the result in testdata: a sweep and a search with GPUs and failures.
func example(t testing.TB) *loadtest.Result {
	t.Helper()
	file, err := os.Open("testdata/result.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := loadtest.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTables(t *testing.T) {
	want, err := os.ReadFile("testdata/result.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	r := example(t)
	if err := Text(&b, Tables(r)); err != nil {
		t.Fatal(err)
	}
	b.WriteString(Headline(r) + "\n" + Found(r) + "\n")
	if b.String() != string(want) {
		t.Errorf("got\n%s", b.String())
	}
}

func TestFound(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*loadtest.Result)
		want   string
	}{
		{"no search", func(r *loadtest.Result) { r.Search = nil }, ""},
		{"stable windows", func(r *loadtest.Result) { r.Levels[2].Stable = true },
			"Highest rate found with a p99 below 50 ms: 80.50 requests per second (p99 48.00 ms)."},
		{"unstable windows", func(*loadtest.Result) {},
			"Highest rate found with a p99 below 50 ms: 80.50 requests per second (p99 48.00 ms; not stable)."},
		{"nothing", func(r *loadtest.Result) { r.Search.Level = -1 }, "No rate found with a p99 below 50 ms."},
		{"nothing before it was interrupted", func(r *loadtest.Result) { r.Search.Level, r.Search.Interrupted = -1, true },
			"The search was interrupted. No rate found with a p99 below 50 ms."},
		{"a rate before it was interrupted", func(r *loadtest.Result) { r.Levels[2].Stable, r.Search.Interrupted = true, true },
			"The search was interrupted. Highest rate found with a p99 below 50 ms: 80.50 requests per second (p99 48.00 ms)."},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := example(t)
			test.change(r)
			if got := Found(r); got != test.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestMissingServerMetricsStayEmpty(t *testing.T) {
	for _, test := range []struct {
		name        string
		change      func(*loadtest.Result)
		rest, batch string
	}{
		{"Fovea with an image a request", func(*loadtest.Result) {}, "1.48", "1.50"},
		{"several images a request", func(r *loadtest.Result) { r.Load.ImagesPerRequest = 8 }, none, "1.50"},
		{"neither stages nor batches, as of a gateway", func(r *loadtest.Result) { r.Levels[0].Server.Stages, r.Levels[0].Server.BatchMean = nil, 0 }, none, none},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := example(t)
			test.change(r)
			row := serverStages(r).Rows[0]
			if row[6] != test.rest || row[7] != test.batch || row[8] != "7.70" {
				t.Errorf("got %q", row)
			}
		})
	}
}

func TestCSV(t *testing.T) {
	var b bytes.Buffer
	r := example(t)
	if err := CSV(&b, r); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll() // refuses lines of another length than the first
	if err != nil || len(lines) != len(r.Levels)+1 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	cell := func(line int, column string) string {
		for i, name := range lines[0] {
			if name == column {
				return lines[line][i]
			}
		}
		t.Fatalf("no column %s", column)
		return ""
	}
	for _, test := range []struct {
		line         int
		column, want string
	}{
		{1, "label", `a "label", with a comma`}, {1, "concurrency", "1"}, {1, "throughput", "110"}, {1, "p99_ms", "12"}, {1, "decode_ms", "1"},
		{1, "infer_ms", "6"}, {1, "batch_mean", "1.5"}, {1, "resident_bytes", "104857600"}, {1, "gpu_utilization", "0.5"}, {1, "gpu_watts", "300"}, {1, "images_per_joule", "0.367"},
		{2, "failed", "5"}, {2, "queue_ms", ""}, {3, "rate", "80.5"}, {3, "purpose", "search"}, {3, "stable", "false"}, {2, "all_images", "2000"}, {2, "all_failed", "45"},
	} {
		if got := cell(test.line, test.column); got != test.want {
			t.Errorf("%s in line %d is %q, want %q", test.column, test.line, got, test.want)
		}
	}
}

func TestPageIsSelfContained(t *testing.T) {
	r := example(t)
	r.Label = `</script><script>alert("x")</script>`
	var b bytes.Buffer
	if err := HTML(&b, []*loadtest.Result{r}); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if found := regexp.MustCompile(`(?i)<(link|img|iframe)\b|\bsrc\s*=\s*["']|@import|url\(`).FindAllString(strings.ReplaceAll(page, echarts, ""), -1); found != nil {
		t.Errorf("the page fetches something: %q", found)
	}
	if strings.Contains(page, `<script>alert`) {
		t.Error("a label becomes a script")
	}
	if strings.Count(page, "<script>") != 2 || !strings.Contains(page, echarts[:1000]) || strings.Contains(page, "ZgotmplZ") {
		t.Error("the page's scripts are not whole")
	}
	_, data, _ := strings.Cut(page, "const results = ")
	var again []loadtest.Result
	if err := json.NewDecoder(strings.NewReader(data)).Decode(&again); err != nil || len(again) != 1 || again[0].Levels[0].Throughput != 110 {
		t.Errorf("the page's data: %v", err)
	}
}

func TestProgressLine(t *testing.T) {
	running := loadtest.Progress{Level: loadtest.Level{Concurrency: 8, Throughput: 812, Failed: 3, Images: 97}, Window: 2, Windows: 10}
	done := loadtest.Progress{Level: loadtest.Level{Rate: 50, Ended: "no three windows in a row agreed"}, Done: true}
	for _, test := range []struct {
		name     string
		terminal bool
		width    int
		p        loadtest.Progress
		want     string
	}{
		{"a running level on a terminal", true, 200, running, "\r\x1b[Kconcurrency 8 · window 2 of at most 10 · 812.0 images/s · p50 0 ms · p99 0 ms · failed 3 (3 %)"},
		{"a narrow terminal", true, 20, running, "\r\x1b[Kconcurrency 8 · win"},
		{"warming up", true, 200, loadtest.Progress{Level: loadtest.Level{Concurrency: 8}}, "\r\x1b[Kconcurrency 8 · warming up"},
		{"a level is over on a terminal", true, 200, done, "\r\x1b[Krate 50 · NOT stable: no three windows in a row agreed · 0 images/s · p50 0 ms · p99 0 ms\n"},
		{"a file sees nothing of a running level", false, 0, running, ""},
		{"a file sees a level that is over", false, 0, done, "rate 50 · NOT stable: no three windows in a row agreed · 0 images/s · p50 0 ms · p99 0 ms\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b strings.Builder
			Line{W: &b, Terminal: test.terminal, Width: func() int { return test.width }}.Update(test.p)
			if b.String() != test.want {
				t.Errorf("got %q", b.String())
			}
		})
	}
}
