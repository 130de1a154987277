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

// buildCUDA makes the CUDA image over the base that the Dockerfile names.
func buildCUDA(t *testing.T) {
	t.Helper()
	if err := build(io.Discard, root(), "-t", cudaImage, "--target", "cuda"); err != nil {
		t.Fatal(err)
	}
}

// TestCUDASize counts what the image adds to the libraries of its base.
func TestCUDASize(t *testing.T) {
	buildCUDA(t)
	byPart, total := sizes(t, cudaImage)
	added := total - byPart["CUDA and cuDNN"] - byPart["C and C++ libraries"]
	t.Logf("added to what comes from the base: %d MB", added/megabyte)
	if added > 350*megabyte {
		t.Errorf("%d MB are added to the base; at most 350 are allowed", added/megabyte)
	}
}

// TestCUDASettings reads what the image says of itself.
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

// hasCUDA tells whether the image was built over NVIDIA's base or over a stand-in without CUDA.
func hasCUDA(t *testing.T) bool {
	t.Helper()
	for name := range contents(t, cudaImage) {
		if strings.Contains(name, "libcudart.so") {
			return true
		}
	}
	return false
}

// TestCUDAWithoutGPU starts the image where there is no GPU: asked for CUDA it must end, saying what is missing, and
// left to choose it must serve on the CPU and say so.
func TestCUDAWithoutGPU(t *testing.T) {
	buildCUDA(t)
	missing := `libcu[a-zA-Z]+\.so` // the first of CUDA's libraries on the stand-in, the driver's on the real base
	if hasCUDA(t) {
		missing = `libcuda\.so`
	}
	t.Run("device cuda ends with the missing library's name", func(t *testing.T) {
		c := start(t, cudaImage, "--env", "FOVEA_INFERENCE_DEVICE=cuda")
		if s := c.exited(t, 60*time.Second); s.State.ExitCode == 0 {
			t.Error("the server ended with 0")
		}
		if said := c.logs(t); !regexp.MustCompile(missing).MatchString(said) {
			t.Errorf("no word of %s in: %s", missing, said)
		}
	})
	t.Run("device auto serves on the CPU and says so", func(t *testing.T) {
		c := start(t, cudaImage, "--env", "FOVEA_INFERENCE_DEVICE=auto")
		c.ready(t)
		c.wantEspresso(t)
		if said := c.logs(t); !regexp.MustCompile(`(?i)\bcpu\b`).MatchString(said) {
			t.Errorf("the choice of the CPU is not told: %s", said)
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

// TestOldDriver gives the server a driver that is too old for its CUDA. What it says must agree with the labels.
func TestOldDriver(t *testing.T) {
	buildCUDA(t)
	gpus := simulate(t, "driver = 535.183.01", "cuda = 12020", "gpu0.uuid = "+uuid(0), "gpu0.name = Simulated")
	c := start(t, cudaImage, append(gpus, "--env", "FOVEA_INFERENCE_DEVICE=cuda")...)
	if s := c.exited(t, 60*time.Second); s.State.ExitCode == 0 {
		t.Error("the server ended with 0")
	}
	labels := c.state(t).Config.Labels
	branch, _, _ := strings.Cut(labels["fovea.driver.minimum"], ".")
	want := fmt.Sprintf("driver 535.183.01 is too old for CUDA %s: needs %s or newer", labels["fovea.cuda"], branch)
	if said := c.logs(t); !strings.Contains(said, want) {
		t.Errorf("the server said %s; want %q", said, want)
	}
}
