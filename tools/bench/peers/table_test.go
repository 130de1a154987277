package peers

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/tools/bench/pairs"
)

// resultOf is a result where Fovea has the given throughput and each peer has 100 images per second at every concurrency.
func resultOf(cellName string, fovea float64) *Result {
	r := &Result{Format: format, Machine: Machine{CPU: "Test CPU", Cores: 2}, Versions: map[string]string{"python": "3"}}
	for round := range 2 {
		for _, s := range servers {
			rate := 100.0
			if s.key == "fovea" {
				rate = fovea
			}
			sample := Sample{Cell: cellName, Server: s.key, Round: round, StartupMS: 1e5 / rate, PeakMiB: 3e4 / rate}
			for _, n := range concurrencies {
				sample.Levels = append(sample.Levels, Level{Concurrency: n, Throughput: rate, P50MS: 10, P99MS: 2000 / rate, CPUMS: 20})
			}
			if round > 0 {
				sample.Levels = append(sample.Levels, Level{Rate: 60, Throughput: 60, P50MS: 10, P99MS: 3000 / rate, CPUMS: 20})
			}
			r.Samples = append(r.Samples, sample)
		}
		r.Samples = append(r.Samples, Sample{Cell: cellName, Server: baselineKey, Round: round, Levels: []Level{{Throughput: 320, CPUMS: 19}}})
	}
	return r
}

func TestMarkdownComparesFoveaWithPeers(t *testing.T) {
	text := markdown(resultOf("classifier/small/multipart", 300))
	for _, line := range []string{
		"| classifier/small/multipart | 3.00 (3.00–3.00) | 3.00 (3.00–3.00) | 3.00 (3.00–3.00) | 0.94 (0.94–0.94) | 1.05 (1.05–1.05) | 0.33 (0.33–0.33) | 0.33 | 0.91 | 0.33 (0.33–0.33) |",
		"| 250×200, multipart | Fovea | **300**, **300**, **300** | **10.0**, **10.0**, **10.0** | **6.67**, **6.67**, **6.67** | **20.0** | 60.0/s: **10.0**, **10.0** | **100** | **0.33** |",
		"| 250×200, multipart | mosec | 100, 100, 100 | **10.0**",
		"| 250×200, multipart | loop without HTTP | 320 | | | 19.0 | | | |",
		"| median cell | 3.00 | 3.00 | 3.00 | 0.94 |",
		"2 cores of Test CPU",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("it lacks %q:\n%s", line, text)
		}
	}
	if strings.Contains(text, "YOLOX") || strings.Contains(text, "NaN") {
		t.Errorf("it mentions what was not measured:\n%s", text)
	}
}

// TestMarkdownIsBoldWhereAPeerIsBetter has peers with a higher throughput, less memory and a faster start.
func TestMarkdownIsBoldWhereAPeerIsBetter(t *testing.T) {
	text := markdown(resultOf("yolox/hd/raw", 80))
	for _, line := range []string{
		"| yolox/hd/raw | **0.80** (0.80–0.80) | **0.80** (0.80–0.80) | **0.80** (0.80–0.80) | 0.25 (0.25–0.25) | 1.05 (1.05–1.05) | **1.25** (1.25–1.25) | **1.25** |",
		"| **1.25** (1.25–1.25) | **1.25** (1.25–1.25) |",
		"| 1280×720, raw | Fovea | 80.0, 80.0, 80.0 |",
		"| 1280×720, raw | FastAPI | **100**, **100**, **100** |",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("it lacks %q:\n%s", line, text)
		}
	}
}

func TestMarkdownShowsFailures(t *testing.T) {
	r := resultOf("yolox/hd/multipart", 300)
	r.Samples[1].Levels[0].Failed, r.Samples[1].Levels[0].Failures = 3, map[string]int{"wrong class": 2, "HTTP 503": 1}
	if text := markdown(r); !strings.Contains(text, "FastAPI (3 failed: HTTP 503, wrong class)") {
		t.Errorf("the failures are missing:\n%s", text)
	}
}

func TestReadResultsTakesTheLastOfEachCell(t *testing.T) {
	first, second := resultOf("classifier/small/multipart", 300), resultOf("classifier/small/multipart", 200)
	other := resultOf("yolox/hd/multipart", 150)
	paths := []string{store(t, first), store(t, other), store(t, second)}
	r, err := readResults(paths)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"classifier/small/multipart": 200, "yolox/hd/multipart": 150} {
		if got := (view{r.Samples, name, "fovea"}).level(at(8), throughput); got != want {
			t.Errorf("%s: %g images a second, want %g", name, got, want)
		}
	}
}

func TestReadResultsRefusesWhatCannotBeCompared(t *testing.T) {
	elsewhere := resultOf("yolox/hd/multipart", 150)
	elsewhere.Machine.Cores = 64
	old := resultOf("yolox/hd/multipart", 150)
	old.Format = 0
	for name, paths := range map[string][]string{
		"another machine": {store(t, resultOf("yolox/hd/multipart", 1)), store(t, elsewhere)},
		"another format":  {store(t, old)},
		"no such file":    {filepath.Join(t.TempDir(), "none.json")},
		"no file":         nil,
	} {
		if _, err := readResults(paths); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}

func store(t *testing.T, r *Result) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "result.json")
	data, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReplaceTablesKeepsOtherText(t *testing.T) {
	got, err := replaceTables("before\n"+beginMark+"old\n"+endMark+"after\n", "new\n")
	if want := "before\n" + beginMark + "new\n" + endMark + "after\n"; err != nil || got != want {
		t.Errorf("got %q and %v, want %q", got, err, want)
	}
	if _, err := replaceTables("no marks", "new\n"); err == nil {
		t.Error("a document without marks was changed")
	}
}

func TestCommonRateIsWhatTheSlowestCarries(t *testing.T) {
	samples := []Sample{
		{Server: baselineKey, Levels: []Level{{Throughput: 10}}},
		{Server: "fovea", Levels: []Level{{Throughput: 300}, {Throughput: 280}}},
		{Server: "bentoml", Levels: []Level{{Throughput: 60}, {Throughput: 100}}},
	}
	if got := commonRate(samples); got != 60 {
		t.Errorf("got %g, want 60", got)
	}
}

func TestMedianAndNumbers(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   string
	}{{nil, "–"}, {[]float64{3, 1, 2}, "2.00"}, {[]float64{1, 100, 30, 40}, "35.0"}, {[]float64{1234.5}, "1234"}} {
		if got := number(pairs.Median(test.values)); got != test.want {
			t.Errorf("%v gives %s, want %s", test.values, got, test.want)
		}
	}
	if !math.IsNaN(pairs.Median(nil)) {
		t.Error("nothing has a median")
	}
}

// TestIdealP99 compares with an independent simulation, of millions of images (in Python, with a heap of cores).
func TestIdealP99(t *testing.T) {
	for _, test := range []struct {
		name          string
		rate, service float64
		cores         int
		want          float64
	}{
		{"an idle server: the service alone", 0.001, 10, 2, 10},
		{"one core at half load", 0.05, 10, 1, 43.3},
		{"two cores at half load", 0.1, 10, 2, 25.6},
		{"sixteen cores at half load", 0.8, 10, 16, 10.0},
	} {
		if got := idealP99(test.rate, test.service, test.cores); math.Abs(got/test.want-1) > 0.04 {
			t.Errorf("%s: got %.2f, want %.2f", test.name, got, test.want)
		}
	}
}
