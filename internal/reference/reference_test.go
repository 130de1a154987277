package reference

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

func TestReplace(t *testing.T) {
	page := "# A\n<!-- generated: x -->\n\nold\n\n<!-- end -->\nrest\n<!-- generated: y -->\n<!-- end -->\n"
	got, err := replace(page, "x", "new\n")
	want := "# A\n<!-- generated: x -->\n\nnew\n\n<!-- end -->\nrest\n<!-- generated: y -->\n<!-- end -->\n"
	if err != nil || got != want {
		t.Errorf("%v, %q", err, got)
	}
	for name, page := range map[string]string{
		"a page without the block": "# A\n",
		"a block without an end":   "<!-- generated: x -->\n",
		"a block of another name":  "<!-- generated: xy -->\n<!-- end -->\n",
	} {
		if _, err := replace(page, "x", "new"); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

type sample struct {
	Name string `yaml:"name"` // of a | thing
	Part part   `yaml:"part"`
	Last int    `yaml:"last" range:"1..3" help:"from help"`
}

type part struct {
	Wait time.Duration `yaml:"wait"` // how long,
	// in two lines
	Mode string `yaml:"mode" oneof:"a,b" help:"which"`
}

func TestKeys(t *testing.T) {
	// The types of a test are not in the files that Keys reads, so that only help is found.
	missing := 0
	got := Keys(failures{t, &missing}, part{Wait: time.Second})
	want := "| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n| `wait` | duration | `1s` |  |  |\n| `mode` | string |  | a, b | which |\n\n"
	if got != want || missing != 1 {
		t.Errorf("%d failures, %s", missing, got)
	}
	got = Keys(failures{t, &missing}, sample{Last: 2})
	if strings.Index(got, "`last`") > strings.Index(got, "### part") || !strings.Contains(got, "| `part.mode` |") || !strings.Contains(got, "| 1 to 3 | from help |") {
		t.Error(got)
	}
}

// failures counts errors instead of reporting them.
type failures struct {
	testing.TB

	count *int
}

func (f failures) Errorf(string, ...any) { *f.count++ }

func TestCommands(t *testing.T) {
	root := &cobra.Command{Use: "tool", Short: "Do things"}
	root.PersistentFlags().String("http.address", "", "a key of the configuration")
	sub := &cobra.Command{Use: "sub NAME", Short: "Do one thing", Long: "Do one thing.\n\nIn detail.", Example: "  tool sub x", Run: func(*cobra.Command, []string) {}}
	sub.Flags().IntP("number", "n", 3, "how `many` a|b")
	sub.Flags().Bool("all", false, "all of them")
	hidden := &cobra.Command{Use: "secret", Hidden: true, Run: func(*cobra.Command, []string) {}}
	root.AddCommand(sub, hidden)
	want := "### tool\n\nDo things.\n\n```text\ntool\n```\n\n" +
		"### tool sub\n\nDo one thing.\n\n```text\ntool sub NAME\n```\n\n```text\nIn detail.\n```\n\n```text\n  tool sub x\n```\n\n" +
		"| flag | default | meaning |\n|---|---|---|\n| `--all` |  | all of them |\n| `-n, --number` | `3` | how many a\\|b |\n\n"
	if got := Commands(root); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fovea_b_total", Help: `Says "b" | more.`}, []string{"x", "y"}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "fovea_a", Help: "An a.", ConstLabels: prometheus.Labels{"version": "1"}}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "fovea_c_seconds", Help: "A c."}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "other", Help: "Not Fovea's."}))
	want := "| metric | type | labels | meaning |\n|---|---|---|---|\n| `fovea_a` | gauge | `version` | An a. |\n" +
		"| `fovea_b_total` | counter | `x`, `y` | Says \"b\" \\| more. |\n| `fovea_c_seconds` | histogram |  | A c. |\n\n"
	if got := Metrics(t, "# TYPE fovea_c_seconds histogram\n", registry); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAPI(t *testing.T) {
	document := `{"paths":{"/x/{id}":{"parameters":[{"$ref":"#/components/parameters/id"}],"post":{"summary":"Make x","parameters":[
		{"name":"n","in":"query","schema":{"type":"integer","minimum":1,"maximum":9},"description":"How many."}],
		"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/X"}}}},
		"responses":{"200":{"description":"Made.","content":{"application/json":{"schema":{"type":"array","items":{"$ref":"#/components/schemas/X"}}}}}}}}},
		"components":{"parameters":{"id":{"name":"id","in":"path","required":true,"schema":{"type":"string"}}},
		"schemas":{"X":{"type":"object","required":["a"],"properties":{"a":{"type":"string","enum":["u","v"]},"b":{"oneOf":[{"type":"number"},{"type":"string"}]}}},
		"Y":{"type":"number","minimum":0}}}}`
	want := "## Routes\n\n### POST /x/{id}\n\nMake x.\n\n| parameter | in | type | meaning |\n|---|---|---|---|\n| `id` | path, required | string |  |\n" +
		"| `n` | query | integer, 1 to 9 | How many. |\n\nBody: `application/json` [X](#x).\n\n| status | content | meaning |\n|---|---|---|\n" +
		"| 200 | `application/json` array of [X](#x) | Made. |\n\n## Schemas\n\n### X\n\n| field | type | always | meaning |\n|---|---|---|---|\n" +
		"| `a` | string: `u`, `v` | yes |  |\n| `b` | number or string |  |  |\n\n### Y\n\nNumber, at least 0.\n\n"
	if got := API(t, []byte(document)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
