//go:build image

package imagetest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// simulateCUDA returns the settings, as YAML, with which a service of compose.yaml runs the CUDA image's provider on the
// simulated CUDA, and a file: a number written to it becomes the CUDA error of every further call.
func simulateCUDA(t *testing.T) (service, fault string) {
	t.Helper()
	dir := t.TempDir()
	libraries, faults, provider := filepath.Join(dir, "libraries"), filepath.Join(dir, "faults"), filepath.Join(dir, "provider.so")
	id := docker(t, "create", cudaImage)
	defer docker(t, "rm", id)
	docker(t, "cp", id+":/usr/lib/fovea/libonnxruntime_providers_cuda.so", provider)
	for _, args := range [][]string{
		{root() + "/scripts/simcuda", libraries, provider},
		{root() + "/scripts/simnvml", libraries + "/libnvidia-ml.so.1"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
	}
	gpus := "driver = 580.95.05\ncuda = 13000\ngpu0.uuid = " + uuid(0) + "\ngpu0.name = Simulated\n"
	if err := os.WriteFile(libraries+"/gpus", []byte(gpus), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(faults, 0o755); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("{environment: {LD_LIBRARY_PATH: /simulated, SIMCUDA_FAULT_FILE: /faults/number, FOVEA_SIMNVML_FILE: /simulated/gpus}, "+
		"volumes: [%q, %q]}", libraries+":/simulated:ro", faults+":/faults:ro"), filepath.Join(faults, "number")
}

// untestedModels is a folder with the image's model without its self-test, which the simulated CUDA would fail.
func untestedModels(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	id := docker(t, "create", cudaImage)
	defer docker(t, "rm", id)
	docker(t, "cp", id+":/models", dir)
	path := dir + "/models/efficientnet-lite0/model.yaml"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^self_test:\n(  .*\n)+`).ReplaceAll(text, nil)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir + "/models"
}

// TestComposeRestartsBrokenServer: a CUDA error that requires a restart turns /health to 503. Engines restart only
// containers that have exited, not unhealthy ones, so the server has to exit.
func TestComposeRestartsBrokenServer(t *testing.T) {
	buildCUDA(t)
	service, fault := simulateCUDA(t)
	p := compose(t, map[string]string{"SERVE_GPUS": uuid(0), "SERVE_MODELS": untestedModels(t)})
	p.override("serve-gpu", service)
	begin := time.Now()
	c := p.up("serve-gpu")
	c.ready(t)
	if err := os.WriteFile(fault, []byte("700"), 0o644); err != nil { // an illegal address
		t.Fatal(err)
	}
	wait(t, 30*time.Second, "/health is 503", func() bool { return c.health() == http.StatusServiceUnavailable })
	if err := os.Remove(fault); err != nil {
		t.Fatal(err)
	}
	broken := time.Now()
	if n := c.restarts(t); n != 0 {
		t.Errorf("restarted %d times before the end of its grace period", n)
	}
	wait(t, 60*time.Second, "the engine has restarted it", func() bool {
		return c.restarts(t) == 1 && c.state(t).State.Status == "running"
	})
	took := time.Since(broken)
	c.url = "http://" + docker(t, append(p.args, "port", "serve-gpu", "8000")...) // may have changed
	c.ready(t)
	if status := c.health(); status != http.StatusOK {
		t.Errorf("after the restart /health is %d", status)
	}
	if status, _, err := predict(c.url, img(t)); status != http.StatusOK {
		t.Errorf("after the restart a prediction got %d, %v", status, err)
	}
	ends := docker(t, "events", "--since", strconv.FormatInt(begin.Unix(), 10), "--until", strconv.FormatInt(time.Now().Unix()+1, 10),
		"--filter", "container="+c.id, "--filter", "event=die", "--format", "{{.Actor.Attributes.exitCode}}")
	if ends != "75" {
		t.Errorf("exit statuses are %q, want 75", ends)
	}
	t.Logf("broken for %s, then restarted", took.Round(time.Second/10))
}

// health returns the status of /health, or 0 without a response.
func (c *container) health() int {
	answer, err := client.Get(c.url + "/health")
	if err != nil {
		return 0
	}
	_ = answer.Body.Close() // only the status matters
	return answer.StatusCode
}

// restarts returns how often the engine has restarted the container.
func (c *container) restarts(t *testing.T) int {
	t.Helper()
	var got struct{ RestartCount int }
	inspect(t, c.id, &got)
	return got.RestartCount
}

// override adds to a service's settings.
func (p *project) override(service, settings string) {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), "more.yaml")
	if err := os.WriteFile(path, []byte("services: {"+service+": "+settings+"}\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.args = append(p.args, "--file", path)
}
