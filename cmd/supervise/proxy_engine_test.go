//go:build engine

package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fovea/docker/dockertest"
	"fovea/fleet"
)

// proxyRules reads which calls the socket proxy in deploy/supervise/compose.yaml allows. The proxy anchors each
// pattern.
func proxyRules(t *testing.T) []dockertest.Rule {
	t.Helper()
	text, err := os.ReadFile("../../deploy/supervise/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules []dockertest.Rule
	for _, found := range regexp.MustCompile(`(?m)^ +- -allow(HEAD|GET|POST|PUT|DELETE)=(\S+)$`).FindAllStringSubmatch(string(text), -1) {
		rules = append(rules, dockertest.Rule{Method: found[1], Path: regexp.MustCompile("^" + found[2] + "$")})
	}
	return rules
}

func TestSocketProxyAllowsExactlyTheNeededCalls(t *testing.T) {
	rules := proxyRules(t)
	if len(rules) < 5 {
		t.Fatalf("%d rules found", len(rules))
	}
	dir, err := os.MkdirTemp("", "sup")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	filter, err := dockertest.NewFilter(dir, engineSocket(), rules)
	if err != nil {
		t.Fatal(err)
	}
	defer filter.Close()
	proxied := two + "engine: {host: \"" + filter.Host + "\"}\n"
	r := newHarness(t, proxied)
	r.expect(true, nil, "doctor")
	r.start(2, nil)
	r.expect(true, []string{"server ready"}, "logs", "cpu-1")
	if err := r.engine.Kill(context.Background(), r.containers()[r.name+"-cpu-0.1"]); err != nil {
		t.Fatal(err)
	}
	r.until("replaced", func(s fleet.Status) bool { return s.Ready == 2 && s.Replicas[0].Restarts == 1 })
	r.stop()
	r.start(2, nil)
	r.expect(true, []string{"all replicas are at generation 2"}, "rollout")
	r.expect(true, nil, "down")
	r.gone()
	if refused := filter.Refused(); len(refused) > 0 {
		t.Errorf("needed but not allowed: %v", refused)
	}
	if unused := filter.Unused(); len(unused) > 0 {
		t.Errorf("allowed but not needed: %v", unused)
	}

	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(filter.Host, "unix://"))
	}}}
	for _, path := range []string{"/v1.45/containers/x/exec", "/v1.45/containers/x/attach", "/v1.45/build", "/v1.45/images/create", "/v1.45/volumes/create"} {
		response, err := client.Post("http://engine"+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d, %v", path, response.StatusCode, err)
		}
	}
}

func TestSocketProxyCallsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/supervise.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, used := proxyRules(t), map[int]bool{}
	rows := regexp.MustCompile(`(?m)^\| (HEAD|GET|POST|DELETE) \| (.+) \|$`).FindAllStringSubmatch(string(text), -1)
	for _, row := range rows {
		for _, path := range strings.Split(row[2], ", ") {
			path = strings.NewReplacer("`", "", "NAME", "x", "ID", "x").Replace(path)
			if path != "/_ping" {
				path = "/v1.45" + path
			}
			at := slices.IndexFunc(rules, func(r dockertest.Rule) bool { return r.Method == row[1] && r.Path.MatchString(path) })
			if at < 0 {
				t.Errorf("%s %s is documented but not allowed", row[1], path)
			}
			used[at] = true
		}
	}
	for i, rule := range rules {
		if !used[i] {
			t.Errorf("%s %s is allowed but not documented", rule.Method, rule.Path)
		}
	}
}

// engineSocket returns the path of the engine's socket.
func engineSocket() string {
	if path, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		return path
	}
	return "/var/run/docker.sock"
}
