//go:build image

package imagetest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// buildCUDA builds the CUDA image on the Dockerfile's base image.
func buildCUDA(t *testing.T) {
	t.Helper()
	if err := build(io.Discard, root(), "-t", cudaImage, "--target", "cuda"); err != nil {
		t.Fatal(err)
	}
}

// TestCUDASize checks how much the image adds to the libraries of its base.
func TestCUDASize(t *testing.T) {
	buildCUDA(t)
	byPart, total := sizes(t, cudaImage)
	added := total - byPart["CUDA and cuDNN"] - byPart["C and C++ libraries"]
	t.Logf("added to the base: %d MB", added/megabyte)
	if added > 358*megabyte {
		t.Errorf("%d MB added to the base; want at most 358", added/megabyte)
	}
}

// TestCUDASettings checks the image's settings and labels.
func TestCUDASettings(t *testing.T) {
	buildCUDA(t)
	var image struct {
		Config struct {
			User   string
			Labels map[string]string
			Env    []string
		}
	}
	inspect(t, cudaImage, &image)
	if c := image.Config; c.User != "65532:65532" || c.Labels["fovea.cuda"] == "" || c.Labels["fovea.driver.minimum"] == "" {
		t.Errorf("user %q, labels %v", c.User, c.Labels)
	}
	for _, variable := range image.Config.Env {
		if strings.HasPrefix(variable, "LD_") || strings.HasPrefix(variable, "NVIDIA_VISIBLE_DEVICES") {
			t.Errorf("the image sets %s", variable)
		}
	}
}

// hasCUDA reports whether the image was built on NVIDIA's base rather than on a substitute without CUDA.
func hasCUDA(t *testing.T) bool {
	t.Helper()
	for name := range contents(t, cudaImage) {
		if strings.Contains(name, "libcudart.so") {
			return true
		}
	}
	return false
}

// TestCUDAWithoutGPU starts the image without a GPU: with device cuda it must exit and name what is missing, with auto it
// must serve on the CPU and log that.
func TestCUDAWithoutGPU(t *testing.T) {
	buildCUDA(t)
	missing := `libcu[a-zA-Z]+\.so` // the first CUDA library on the substitute, the driver's on the real base
	if hasCUDA(t) {
		missing = `libcuda\.so`
	}
	t.Run("device cuda exits with the missing library's name", func(t *testing.T) {
		c := start(t, cudaImage, "--env", "FOVEA_INFERENCE_DEVICE=cuda")
		if s := c.exited(t, 60*time.Second); s.State.ExitCode == 0 {
			t.Error("the server exited with 0")
		}
		if logs := c.logs(t); !regexp.MustCompile(missing).MatchString(logs) {
			t.Errorf("%s not found in: %s", missing, logs)
		}
	})
	t.Run("device auto serves on the CPU and logs it", func(t *testing.T) {
		c := start(t, cudaImage, "--env", "FOVEA_INFERENCE_DEVICE=auto")
		c.ready(t)
		c.wantEspresso(t)
		if logs := c.logs(t); !regexp.MustCompile(`(?i)\bcpu\b`).MatchString(logs) {
			t.Errorf("the choice of the CPU is not logged: %s", logs)
		}
	})
}

// simulate gives a container the simulated NVML with these GPUs: lines of the file that gpu/simnvml describes.
func simulate(t *testing.T, lines ...string) []string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/gpus", []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(root()+"/scripts/simnvml", dir+"/libnvidia-ml.so.1").CombinedOutput(); err != nil {
		t.Fatalf("building the simulated NVML: %v\n%s", err, out)
	}
	return []string{"--env", "FOVEA_SIMNVML_FILE=/gpus", "--env", "NVIDIA_VISIBLE_DEVICES=all", "--volume", dir + "/gpus:/gpus:ro",
		"--volume", dir + "/libnvidia-ml.so.1:/usr/lib/fovea/libnvidia-ml.so.1:ro", "--env", "FOVEA_GPU_LIBRARY=/usr/lib/fovea/libnvidia-ml.so.1"}
}

// TestOldDriver runs the server with a driver that is too old for its CUDA. Its message must match the labels.
func TestOldDriver(t *testing.T) {
	buildCUDA(t)
	gpus := simulate(t, "driver = 535.183.01", "cuda = 12020", "gpu0.uuid = "+uuid(0), "gpu0.name = Simulated")
	c := start(t, cudaImage, append(gpus, "--env", "FOVEA_INFERENCE_DEVICE=cuda")...)
	if s := c.exited(t, 60*time.Second); s.State.ExitCode == 0 {
		t.Error("the server exited with 0")
	}
	labels := c.state(t).Config.Labels
	branch, _, _ := strings.Cut(labels["fovea.driver.minimum"], ".")
	want := fmt.Sprintf("driver 535.183.01 is too old for CUDA %s: needs %s or newer", labels["fovea.cuda"], branch)
	if logs := c.logs(t); !strings.Contains(logs, want) {
		t.Errorf("the server logged %s; want %q", logs, want)
	}
}
