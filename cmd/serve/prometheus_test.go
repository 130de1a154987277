package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fovea/gpu/simnvml"
	"fovea/internal/testenv"
)

// TestPrometheusRules has promtool check the configuration and the rules, and run the tests of the rules.
func TestPrometheusRules(t *testing.T) {
	promtool := testenv.Program(t, "promtool")
	for _, args := range [][]string{{"check", "config", "--syntax-only", "prometheus.yml"}, {"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = filepath.Join(testenv.Root(t), "deploy", "prometheus")
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, output)
		}
	}
}

// panel is a panel of the dashboard.
type panel struct {
	Title, Type string
	Targets     []struct{ Expr string }
}

// TestPrometheusShowsEveryPanel asks Prometheus, which scrapes a server under load with a simulated GPU, for the data of each panel and
// each variable of the dashboard, and for those of the recorded rules.
func TestPrometheusShowsEveryPanel(t *testing.T) {
	prometheus := testenv.Program(t, "prometheus")
	h100(t)
	p := start(t, newRepository(t), "--gpu.library="+simnvml.Library(t)).waitReady()
	image := testenv.Image(t, "coffee.jpg")
	stop := load(t, 2, func(client int) error {
		body, want := image, 200
		if client == 1 {
			body, want = image[:3000], 422 // truncated
		}
		if got := p.post(predictPath, "image/jpeg", body); got.status != want {
			return fmt.Errorf("status %d: %s", got.status, got.body)
		}
		return nil
	})
	defer stop()
	q := startPrometheus(t, prometheus, p.address)
	for title, expressions := range dashboardExpressions(t) {
		for _, expression := range expressions {
			p.wait(fmt.Sprintf("%s has data: %s", title, expression), func() bool { return q.series(expression) > 0 })
		}
	}
	for _, expression := range []string{"model:fovea_requests:rate5m", "model:fovea_request_duration_seconds:p99_5m", `up{job="fovea"} == 1`} {
		p.wait("the rules record "+expression, func() bool { return q.series(expression) > 0 })
	}
}

// dashboardExpressions returns the queries of the dashboard's panels and variables, by title, with Grafana's variables filled in.
func dashboardExpressions(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), "deploy", "grafana", "dashboards", "fovea.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels     []panel
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$__rate_interval", "10s", "$instance", ".*", "$model", ".*")
	list := map[string][]string{}
	row := ""
	for _, p := range board.Panels {
		if p.Type == "row" {
			row = p.Title
		}
		for _, target := range p.Targets {
			list[row+": "+p.Title] = append(list[row+": "+p.Title], fill.Replace(target.Expr))
		}
	}
	for _, v := range board.Templating.List {
		metric, label, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v.Query, "label_values("), ")"), ", ")
		list["variable "+v.Name] = []string{fmt.Sprintf("count by (%s) (%s{%s!=\"\"})", label, metric, label)}
	}
	if len(list) < 18 {
		t.Fatalf("the dashboard has %d panels and variables", len(list))
	}
	return list
}

// prometheusServer is a running Prometheus.
type prometheusServer struct {
	t       *testing.T
	address string
}

// startPrometheus starts Prometheus with the repository's configuration and rules, which scrapes the server at an address each second.
func startPrometheus(t *testing.T, program, target string) *prometheusServer {
	t.Helper()
	deployed := filepath.Join(testenv.Root(t), "deploy", "prometheus")
	text, err := os.ReadFile(filepath.Join(deployed, "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(text), "    dns_sd_configs:")
	if !found || !strings.Contains(head, "job_name: fovea") {
		t.Fatalf("the configuration has another form:\n%s", text)
	}
	configuration := strings.NewReplacer("_interval: 15s", "_interval: 1s", "/etc/prometheus/rules.yml", filepath.Join(deployed, "rules.yml")).
		Replace(head) + "    static_configs: [{targets: [\"" + target + "\"]}]\n"
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	q := &prometheusServer{t, freeAddress(t)}
	cmd := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+q.address)
	var log testenv.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus:\n%s", log.String())
		}
	})
	for range 600 {
		if response, err := http.Get("http://" + q.address + "/-/ready"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == 200 {
				return q
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("Prometheus is not ready")
	return nil
}

// series returns how many series with a number a query has now.
func (q *prometheusServer) series(expression string) (n int) {
	q.t.Helper()
	response, err := http.Get("http://" + q.address + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		q.t.Fatal(err)
	}
	defer response.Body.Close()
	var got struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value [2]any }
		}
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		q.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &got); err != nil || got.Status != "success" {
		q.t.Fatalf("%s: %v, %s", expression, err, text)
	}
	for _, r := range got.Data.Result {
		if r.Value[1] != "NaN" {
			n++
		}
	}
	return n
}
