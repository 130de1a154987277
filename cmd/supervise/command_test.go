package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fovea/fleet"
)

func command(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = run(t.Context(), args, &out, &errs)
	return out.String() + errs.String(), err
}

func TestCommandsWithoutASupervisor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "supervise.yaml")
	if err := os.WriteFile(file, []byte("socket: none.sock"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"rollout"}, {"drain", "0"}, {"resume", "0"}, {"logs", "cpu-0"}, {"down"}} {
		if _, err := command(t, append(args, "-f", file)...); err == nil || !strings.Contains(err.Error(), "supervisor is not running (socket ") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestConfigurationErrorsAreReportedByEveryCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "supervise.yaml")
	if err := os.WriteFile(file, []byte("replicas: 0\nimage: \"a b\""), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"run", "status", "config", "doctor"} {
		_, err := command(t, name, "-f", file)
		if err == nil || !strings.Contains(err.Error(), "replicas: 0") || !strings.Contains(err.Error(), "image:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigPrintsAReadableFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "supervise.yaml")
	if err := os.WriteFile(file, []byte("gpus: [0, MIG-1]\nlimits: {memory: 1.5GiB}\nenv: {A: b}"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := command(t, "config", "-f", file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := command(t, "config", "-f", file)
	if err != nil || first != second || !strings.Contains(first, "memory: 1536MiB") {
		t.Errorf("%v\n%s\n%s", err, first, second)
	}
}

func TestStatusTable(t *testing.T) {
	share, celsius, ecc := 0.37, 45.0, uint64(2)
	var out bytes.Buffer
	err := table(&out, fleet.Status{
		Name: "fovea", Gateway: "127.0.0.1:8080", Image: "fovea:cuda", Version: "1.2", Generation: 3, Wanted: 2, Ready: 1,
		Rollout:  &fleet.RolloutStatus{Image: "fovea:new", Failed: "gpu0-0: exited with status 78", Log: []string{"no model"}},
		Problems: []string{"Docker engine: timeout"},
		Replicas: []fleet.ReplicaStatus{
			{Name: "gpu0-0.3", Device: "GPU-a", State: fleet.Ready, Since: time.Minute, Restarts: 4, InFlight: 7, Version: "1.2"},
			{Name: "gpu1-0", Device: "GPU-b", State: fleet.Failed, Reason: "ended", Log: []string{"the last line"}},
		},
		GPUs: []fleet.GPUStatus{{UUID: "GPU-a", State: "quarantined", Reason: "XID 79", Utilization: &share, Temperature: &celsius, ECC: &ecc, MemoryUsed: 1 << 30, MemoryTotal: 80 << 30}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"1 of 2 ready", "fovea:new failed: gpu0-0", "no model", "problem: Docker engine: timeout", "gpu0-0.3", "1m0s", "failed", "the last line",
		"XID 79", "37 %", "45 °C", "1.0 of 80.0 GiB",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in\n%s", part, out.String())
		}
	}
}

func TestDrainWaitsForAllReplicasOnTheGPU(t *testing.T) {
	gpus := []fleet.GPUStatus{{UUID: "GPU-a", Index: 0}, {UUID: "GPU-b", Index: 1}}
	gone := fleet.ReplicaStatus{Name: "gpu0-0", Device: "GPU-a", GPU: "GPU-a"}
	whole := fleet.ReplicaStatus{Name: "gpu0-1.1", Device: "GPU-a", GPU: "GPU-a", Container: "c"}
	instance := fleet.ReplicaStatus{Name: "gpu1m0-0.1", Device: "MIG-b0", GPU: "GPU-b", Container: "c"}
	second := fleet.ReplicaStatus{Name: "gpu1m1-0", Device: "MIG-b1", GPU: "GPU-b"}
	stuck := instance
	stuck.State = fleet.Stuck
	for name, test := range map[string]struct {
		replicas []fleet.ReplicaStatus
		gpu      string
		done     bool
	}{
		"all gone, by index":                                     {[]fleet.ReplicaStatus{gone, instance}, "0", true},
		"one still running, by UUID":                             {[]fleet.ReplicaStatus{gone, whole}, "GPU-a", false},
		"MIG instance still running, by the GPU's index":         {[]fleet.ReplicaStatus{gone, instance}, "1", false},
		"MIG instance still running, by another instance's UUID": {[]fleet.ReplicaStatus{instance, second}, "MIG-b1", false},
		"MIG instance still running on another GPU":              {[]fleet.ReplicaStatus{gone, instance}, "GPU-a", true},
		"stuck": {[]fleet.ReplicaStatus{stuck}, "1", true},
	} {
		done, err := drained(drainCommand(), fleet.Status{GPUs: gpus, Replicas: test.replicas}, test.gpu)
		if done != test.done || (err != nil) != (test.replicas[0].State == fleet.Stuck) {
			t.Errorf("%s: %v, %v", name, done, err)
		}
	}
}

func TestDoctorChecksFolders(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{dir: true, filepath.Join(dir, "to", "be", "made"): true, file: false, filepath.Join(file, "below"): false, "/proc/1/x": false} {
		if got := folderCheck("folder", path); got.OK != want || got.OK == (got.Advice != "") {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

func TestDoctorWithoutAConfigurationFileUsesTheDefaults(t *testing.T) {
	if _, err := os.Stat(defaultFile); err == nil {
		t.Skipf("%s exists", defaultFile)
	}
	out, _ := command(t, "doctor") // whether this machine passes is not the point
	for _, want := range []string{"configuration: " + defaultFile + " does not exist", "container specification: ", "127.0.0.1:8080"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	missing := filepath.Join(t.TempDir(), "supervise.yaml")
	if out, err := command(t, "doctor", "-f", missing); err == nil || !strings.Contains(err.Error(), missing) || out != "" {
		t.Errorf("a file that was asked for and does not exist: %v\n%s", err, out)
	}
}
