//go:build cluster

package helm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// state is the kit's folder of a node, with the file of its GPUs and those of a simulated NVML.
func state(node string) string { return filepath.Join("/var/lib/cluster", node) }

// faultFile is where a simulated CUDA looks for the number of a fault: in the pod's own memory.
const faultFile = "/tmp/fault"

// onGPUs are the values of a release on simulated GPUs, with the CUDA image and a simulated CUDA.
func onGPUs(n int) []string {
	return []string{fmt.Sprintf("--set=replicas=%d,gpu.enabled=true,image.tag=cuda-sim,shutdown.delaySeconds=5", n),
		"--set=env[0].name=SIMCUDA_FAULT_FILE,env[0].value=" + faultFile, atNodePort(gpuPort),
		"--set=nodeSelector.kubernetes\\.io/hostname=node-1"}
}

// nvml writes what the simulated NVML of a node says about its four GPUs.
func nvml(t *testing.T, node string, lost int) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(state(node), "gpus"))
	if err != nil {
		t.Fatal(err)
	}
	text, i := "driver = 580.95.05\ncuda = 13000\n", 0
	for line := range strings.Lines(string(file)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "nvidia.com/gpu" {
			text += fmt.Sprintf("gpu%d.uuid = %s\ngpu%d.name = Simulated\ngpu%d.memory.total = 8589934592\n", i, f[1], i, i)
			if i == lost {
				text += fmt.Sprintf("gpu%d.lost = 1\n", i)
			}
			i++
		}
	}
	// Rewritten in place: the file is mounted into the containers.
	if err := os.WriteFile(filepath.Join(state(node), "nvml.txt"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// gpus is a rollout with all GPUs taken, and a GPU that falls sick. All is on node-1, which has four GPUs.
func gpus(t *testing.T) {
	const release, gpus = "gpu", 4
	nvml(t, "node-1", -1)
	install(t, release, onGPUs(gpus)...)
	rolledOut(t, release, 5*time.Minute)
	url := address("http", gpuPort)
	answering(t, url)
	rate := calibrated(t, url, "", atMost)
	t.Run("rollout with all GPUs taken", func(t *testing.T) {
		r := event(t, "rollout with all four GPUs taken", "goes through, one at a time, 0 failed")
		l := steady(t, url, "", rate)
		begin := time.Now()
		install(t, release, append(onGPUs(gpus), "--set=config.http.max_images=32")...)
		fewest := gpus
		done := make(chan error, 1)
		go func() {
			_, err := kubectlTry(t, "", "rollout", "status", "deployment/"+release+"-fovea", "--timeout=5m")
			done <- err
		}()
		for rolling := true; rolling; {
			select {
			case err := <-done:
				if rolling = false; err != nil {
					t.Fatal(err)
				}
			case <-time.After(500 * time.Millisecond):
				fewest = min(fewest, len(readyPods(t, release)))
			}
		}
		r.figure("%s, at least %d of %d ready", time.Since(begin).Round(time.Second), fewest, gpus)
		if fewest < gpus-1 {
			t.Errorf("only %d of %d were ready", fewest, gpus)
		}
		l.none(r)
	})
	t.Run("one GPU sick", func(t *testing.T) { gpuSick(t, url, release, rate, gpus-1) })
	t.Run("CUDA fault", func(t *testing.T) { cudaFault(t, url, release, rate, gpus-1) })
	helmRun(t, "uninstall", release)
}

// gpuSick loses the GPU of one pod, while one healthy GPU is free.
func gpuSick(t *testing.T, url, release string, rate float64, want int) {
	install(t, release, append(onGPUs(want), "--set=config.http.max_images=32")...)
	onlyRunning(t, release, want)
	before := readyPods(t, release)
	victim, gpu := ownerOf(t, before)
	r := event(t, "one of four GPUs lost", "its pod moved, the others untouched, 0 failed")
	l := steady(t, url, "", rate)
	time.Sleep(3 * time.Second)
	sick(t, "node-1", gpu)
	begin := time.Now()
	nvml(t, "node-1", gpu)
	out := eventually(t, "the pod has left the Service", time.Minute, func() bool {
		return !slices.ContainsFunc(readyPods(t, release), func(p podOf) bool { return p.Metadata.UID == victim.Metadata.UID })
	})
	eventually(t, "another pod has replaced it", 3*time.Minute, func() bool { return len(readyPods(t, release)) == want })
	r.figure("out of the Service after %s, full strength after %s", out.Round(time.Second), time.Since(begin).Round(time.Second))
	after := readyPods(t, release)
	for _, p := range before {
		kept := slices.ContainsFunc(after, func(q podOf) bool { return q.Metadata.UID == p.Metadata.UID })
		if moved := p.Metadata.UID == victim.Metadata.UID; kept == moved {
			t.Errorf("pod %s, with GPU %d lost: kept %v", p.Metadata.Name, gpu, kept)
		}
	}
	l.none(r)
	nvml(t, "node-1", -1)
}

// cudaFault has CUDA fail in one pod with an error after which the process cannot continue: an illegal address. Requests fail that are in
// that process meanwhile.
func cudaFault(t *testing.T, url, release string, rate float64, want int) {
	onlyRunning(t, release, want)
	before := readyPods(t, release)
	victim := before[0]
	fault := fmt.Sprintf("/proc/%d/root%s", serverOf(t, victim), faultFile)
	r := event(t, "CUDA fault in one pod", "out of the Service at once, replaced, the others untouched")
	l := steady(t, url, "", rate)
	time.Sleep(3 * time.Second)
	begin := time.Now()
	if err := os.WriteFile(fault, []byte("700"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := eventually(t, "the pod has left the Service", time.Minute, func() bool { return !strings.Contains(uids(readyPods(t, release)), victim.Metadata.UID) })
	eventually(t, "another pod has replaced it", 3*time.Minute, func() bool { return len(readyPods(t, release)) == want })
	r.figure("out of the Service after %s, full strength after %s", out.Round(time.Second), time.Since(begin).Round(time.Second))
	after := uids(readyPods(t, release))
	for _, p := range before[1:] {
		if !strings.Contains(after, p.Metadata.UID) {
			t.Errorf("pod %s was replaced, too", p.Metadata.Name)
		}
	}
	l.noneAfter(r, begin.Add(out))
}

// ownerOf returns a pod and the number of its GPU.
func ownerOf(t *testing.T, all []podOf) (podOf, int) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(state("node-1"), "gpus"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		env := curlAt(t, "http://"+p.Status.PodIP+":8000/metrics")
		i := 0
		for line := range strings.Lines(string(file)) {
			if f := strings.Fields(line); len(f) == 3 && strings.Contains(env, f[1]) {
				return p, i
			}
			i++
		}
	}
	t.Fatal("no pod names its GPU in its metrics")
	return podOf{}, 0
}

// sick has the device plugin report a GPU as unhealthy.
func sick(t *testing.T, node string, gpu int) {
	t.Helper()
	path := filepath.Join(state(node), "gpus")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	lines[gpu] = strings.Replace(lines[gpu], " healthy", " sick", 1)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Error(err)
		}
	})
}
