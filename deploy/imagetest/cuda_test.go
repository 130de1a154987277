//go:build image

package imagetest

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"fovea/gpu"
	"fovea/gpu/simnvml"
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

// TestCUDALabels holds the image's labels against the wheel that it was built from and what the server knows.
func TestCUDALabels(t *testing.T) {
	buildCUDA(t)
	var image struct {
		Config struct {
			Labels map[string]string
			Env    []string
		}
	}
	inspect(t, cudaImage, &image)
	labels := image.Config.Labels
	floor, err := gpu.DriverFloor(labels["fovea.cuda"])
	if err != nil || floor != labels["fovea.driver.minimum"] {
		t.Errorf("the labels say CUDA %q and driver %q; the server says %q, %v", labels["fovea.cuda"], labels["fovea.driver.minimum"], floor, err)
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
		c := start(t, cudaImage, "--env", "FOVEA_DEVICE=cuda")
		if s := c.exited(t, 60*time.Second); s.State.ExitCode == 0 {
			t.Error("the server ended with 0")
		}
		if said := c.logs(t); !regexp.MustCompile(missing).MatchString(said) {
			t.Errorf("no word of %s in: %s", missing, said)
		}
	})
	t.Run("device auto serves on the CPU and says so", func(t *testing.T) {
		c := start(t, cudaImage, "--env", "FOVEA_DEVICE=auto")
		c.ready(t)
		c.wantEspresso(t)
		if said := c.logs(t); !regexp.MustCompile(`(?i)\bcpu\b`).MatchString(said) {
			t.Errorf("the choice of the CPU is not told: %s", said)
		}
	})
}

// TestOldDriver gives the server a driver that is too old for its CUDA, by a simulated NVML.
func TestOldDriver(t *testing.T) {
	buildCUDA(t)
	gpus := simnvml.New(t, map[string]string{"driver": "535.183.01", "cuda": "12020", "gpu0.uuid": uuid(0), "gpu0.name": "Simulated"})
	c := start(t, cudaImage, "--env", "FOVEA_DEVICE=cuda", "--env", "FOVEA_SIMNVML_FILE=/gpus", "--env", "NVIDIA_VISIBLE_DEVICES=all",
		"--volume", gpus.Path()+":/gpus:ro", "--volume", simnvml.Library(t)+":/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1:ro")
	if s := c.exited(t, 60*time.Second); s.State.ExitCode == 0 {
		t.Error("the server ended with 0")
	}
	if said := c.logs(t); !regexp.MustCompile(`driver 535\.183\.01 is too old for CUDA 13\.0: needs 580 or newer`).MatchString(said) {
		t.Errorf("the server said: %s", said)
	}
}
