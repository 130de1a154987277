package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fovea/internal/repository"
	"fovea/internal/testenv"
	"fovea/tools/bench/resnet"
)

func TestBound(t *testing.T) {
	at := func(v float64) *float64 { return &v }
	for want, c := range map[string]gpuCase{
		"":                  {Case: "plain loop", Busy: 1, Error: "out of memory"},
		"GPU: kernels":      {Case: "plain loop", Busy: 0.95, GPU: at(0.97)},
		"the loop's own":    {Case: "plain loop", Busy: 0.6, GPU: at(0.5)},
		"copies and launch": {Case: "plain loop", Busy: 0.97, GPU: at(0.5)},
		"rows come too":     {Case: "engine, from rows", Busy: 0.5, GPU: at(0.4)},
		"runs: one is":      {Case: "engine, from rows", Busy: 0.95},
		"decoding: 95 %":    {Case: "engine, from images", Busy: 0.5, GPU: at(0.3), CPU: 0.99, OfDecoding: at(0.95)},
		"cores: busy 97 %":  {Case: "engine, from images", Busy: 0.5, GPU: at(0.3), CPU: 0.97, OfDecoding: at(0.7)},
		"cores: busy 99 %":  {Case: "decoding alone", CPU: 0.99},
		"HTTP and the load": {Case: "serve, images over HTTP", GPU: at(0.3), OfDecoding: at(0.7)},
		"unknown":           {Case: "serve, images over HTTP"},
	} {
		if got := c.bound(); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
}

// TestGroupsReachTheirProcess passes every group on as a child process gets it.
func TestGroupsReachTheirProcess(t *testing.T) {
	for _, group := range gpuPlan("classifier") {
		spec, err := json.Marshal(group)
		if err != nil {
			t.Fatal(err)
		}
		var got gpuGroup
		if err := json.Unmarshal(spec, &got); err != nil || !reflect.DeepEqual(got, group) {
			t.Errorf("%s is %+v, want %+v (%v)", spec, got, group, err)
		}
	}
}

// TestCaseDefinitionsLoad loads the definitions that cases create for ResNet-50 and the classifier.
func TestCaseDefinitionsLoad(t *testing.T) {
	work := t.TempDir()
	folders := map[string]bool{filepath.Join(testenv.Models(t), "efficientnet-lite0"): true} // whether there is a self-test
	for _, v := range resnet.Variants {
		folder := filepath.Join(work, v.Name)
		folders[folder] = false
		if err := os.MkdirAll(filepath.Join(folder, "1"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"model.yaml": resnetDefinition(v), "labels.txt": "a\nb\n", "1/model.onnx": "weights"} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	graph := filepath.Join(work, resnet.Variants[0].Name+graphSuffix)
	if err := writeGraphCopy(work, resnet.Variants[0]); err != nil {
		t.Fatal(err)
	}
	folders[graph] = false
	for folder, tested := range folders {
		for _, simulated := range []string{"", "1"} {
			t.Setenv("FOVEA_TEST_GPU_SIMULATED", simulated)
			dir, err := repositoryFor(folder, "cpu", 32, layout{1, 2})
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			if err != nil {
				t.Fatal(err)
			}
			entry, err := repository.Open(dir).Load(filepath.Base(folder))
			if err != nil {
				t.Errorf("%s: %v", folder, err)
				continue
			}
			d := entry.Definition
			if has := d.SelfTest.Image != ""; has != (tested && simulated == "") {
				t.Errorf("%s: self-test: %t, simulated: %q", folder, has, simulated)
			}
			if want := map[bool]string{true: repository.NormalizeGraph, false: repository.NormalizePacking}[folder == graph]; d.Input.Normalize != want {
				t.Errorf("%s: normalize: %s, want %s", folder, d.Input.Normalize, want)
			}
			if d.Batching.MaxSize != 32 || len(d.Instances) != 1 || d.Instances[0].Count != 2 {
				t.Errorf("%s: batching %+v, instances %+v", folder, d.Batching, d.Instances)
			}
		}
	}
}
