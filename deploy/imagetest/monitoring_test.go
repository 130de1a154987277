//go:build image

package imagetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"gopkg.in/yaml.v3"
)

func deployed(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(), "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// rules parses the rules as promtool does, and returns their expressions and the names that they record.
func rules(t *testing.T) (expressions []string, recorded map[string]bool) {
	t.Helper()
	groups, problems := rulefmt.Parse(deployed(t, "prometheus/rules.yml"), false)
	for _, problem := range problems {
		t.Error(problem)
	}
	if groups == nil {
		t.FailNow()
	}
	recorded = map[string]bool{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			expressions = append(expressions, rule.Expr)
			if rule.Record != "" {
				recorded[rule.Record] = true
			} else if rule.Annotations["summary"] == "" || rule.Labels["severity"] == "" {
				t.Errorf("alert %s has no summary or no severity", rule.Alert)
			}
		}
	}
	return expressions, recorded
}

// dashboard returns the expressions of the dashboard's panels and variables, with Grafana's variables filled in.
func dashboard(t *testing.T) []string {
	t.Helper()
	var board struct {
		Title, UID string
		Panels     []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(deployed(t, "grafana/dashboards/fovea.json")))
	if err := decoder.Decode(&board); err != nil || board.Title == "" || board.UID == "" {
		t.Fatalf("the dashboard %q: %v", board.Title, err)
	}
	fill := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$model", ".*")
	var expressions []string
	for _, panel := range board.Panels {
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("panel %q has no expression", panel.Title)
		}
		for _, target := range panel.Targets {
			expressions = append(expressions, fill.Replace(target.Expr))
		}
	}
	variable := regexp.MustCompile(`^label_values\((.+), \w+\)$`)
	for _, v := range board.Templating.List {
		m := variable.FindStringSubmatch(v.Query)
		if m == nil {
			t.Errorf("variable %s queries %q", v.Name, v.Query)
			continue
		}
		expressions = append(expressions, m[1])
	}
	return expressions
}

// names returns the metrics that an expression reads.
func names(t *testing.T, expression string) []string {
	t.Helper()
	tree, err := parser.ParseExpr(expression)
	if err != nil {
		t.Errorf("%s: %v", expression, err)
		return nil
	}
	var list []string
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			list = append(list, selector.Name)
		}
		return nil
	})
	return list
}

// exposed returns the series of running servers after a valid and an invalid request: one on the CPU, and one
// with a simulated GPU.
func exposed(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{"up": true} // added by Prometheus for every target
	series := regexp.MustCompile(`(?m)^([a-zA-Z_:][a-zA-Z0-9_:]*)[{ ]`)
	gpu := simulate(t, "driver = 580.95.05", "cuda = 13000", "gpu0.uuid = "+uuid(0), "gpu0.name = Simulated",
		"gpu0.memory.total = 1000", "gpu0.memory.used = 100", "gpu0.utilization = 50", "gpu0.power = 100", "gpu0.temperature = 50")
	for _, args := range [][]string{nil, gpu} {
		c := start(t, cpuImage, args...)
		c.ready(t)
		c.wantEspresso(t)
		if status, _, err := predict(c.url, []byte("no image")); err != nil || status < 400 {
			t.Fatalf("a request with no image got %d, %v", status, err)
		}
		for _, m := range series.FindAllStringSubmatch(c.metrics(t), -1) {
			found[m[1]] = true
		}
	}
	return found
}

// TestEveryMetricExists checks the metrics in rules and dashboard against a server's.
func TestEveryMetricExists(t *testing.T) {
	expressions, recorded := rules(t)
	expressions = append(expressions, dashboard(t)...)
	known := exposed(t)
	read := map[string]bool{}
	for _, expression := range expressions {
		for _, name := range names(t, expression) {
			read[name] = true
			if !known[name] && !recorded[name] {
				t.Errorf("%s reads %s, which no server exposes", expression, name)
			}
		}
	}
	if len(read) < 15 {
		t.Errorf("only %d metrics are read: %v", len(read), slices.Sorted(maps.Keys(read)))
	}
	t.Logf("%d expressions read %d metrics", len(expressions), len(read))
}

// TestPrometheusFindsTheServers checks Prometheus's configuration against compose.yaml: service names and mounted
// files.
func TestPrometheusFindsTheServers(t *testing.T) {
	var config struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			DNS []struct {
				Names []string
				Port  int
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(deployed(t, "prometheus/prometheus.yml"), &config); err != nil {
		t.Fatal(err)
	}
	var resolved struct {
		Services map[string]struct {
			Command []string
			Volumes []struct{ Source, Target string }
		}
	}
	text := docker(t, "compose", "--profile", "*", "config", "--format", "json")
	if err := json.Unmarshal([]byte(text), &resolved); err != nil {
		t.Fatal(err)
	}
	for _, name := range config.ScrapeConfigs[0].DNS[0].Names {
		if _, ok := resolved.Services[name]; !ok {
			t.Errorf("Prometheus scrapes %s, which is not a service", name)
		}
	}
	for service := range resolved.Services {
		if strings.HasPrefix(service, "serve") && !slices.Contains(config.ScrapeConfigs[0].DNS[0].Names, service) {
			t.Errorf("Prometheus does not scrape %s", service)
		}
	}
	if port := config.ScrapeConfigs[0].DNS[0].Port; port != 8000 {
		t.Errorf("Prometheus scrapes port %d", port)
	}
	wantMounted := func(service, path string) {
		t.Helper()
		for _, v := range resolved.Services[service].Volumes {
			if rest, ok := strings.CutPrefix(path, v.Target); ok {
				if _, err := os.Stat(v.Source + rest); err == nil {
					return
				}
			}
		}
		t.Errorf("%s has no %s", service, path)
	}
	wantMounted("prometheus", config.RuleFiles[0])
	wantMounted("prometheus", "/etc/prometheus/prometheus.yml")
	wantMounted("grafana", "/etc/grafana/provisioning/datasources/prometheus.yml")
	var provider struct {
		Providers []struct{ Options struct{ Path string } }
	}
	if err := yaml.Unmarshal(deployed(t, "grafana/provisioning/dashboards/fovea.yml"), &provider); err != nil {
		t.Fatal(err)
	}
	wantMounted("grafana", fmt.Sprintf("%s/fovea.json", provider.Providers[0].Options.Path))
}
