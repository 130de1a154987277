package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fovea/internal/exitcode"
)

func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, test := range map[string]struct {
		dir, says string
		args      []string
	}{
		"an address that is taken": {newRepository(t), "http.address: listen tcp", []string{"--http.address=" + taken.Addr().String()}},
		"a missing repository":     {"/none", "/none", []string{"--http.address=127.0.0.1:0"}},
		"a missing library":        {newRepository(t), "/none.so", []string{"--inference.library=/none.so"}},
		"an unknown flag":          {newRepository(t), "unknown flag: --port", []string{"--port=8000"}},
		"an unexpected argument":   {newRepository(t), `unknown command "run"`, []string{"run"}},
		"a configuration error":    {newRepository(t), "http.max_images: 0 is out of range (1–4096)", []string{"--http.max_images=0"}},
		"CUDA without a GPU":       {newRepository(t), "cuda", []string{"--inference.device=cuda:63"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := command(t, test.dir, test.args...).CombinedOutput()
			status := 1
			if name == "a configuration error" {
				status = exitcode.Configuration
			}
			if exitStatus(err) != status || !strings.Contains(string(out), test.says) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	dir := newRepository(t)
	p := start(t, dir).waitReady()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the device is lost", http.StatusServiceUnavailable)
	}))
	defer broken.Close()
	_, port, _ := net.SplitHostPort(p.address)
	for name, test := range map[string]struct {
		address string
		args    []string
		want    int
	}{
		"a healthy server":              {p.address, []string{"--timeout=1m"}, 0},
		"a ready server":                {p.address, []string{"--timeout=1m", "--ready"}, 0},
		"a server on all addresses":     {"0.0.0.0:" + port, []string{"--timeout=1m"}, 0},
		"a server that does not answer": {silent.Addr().String(), []string{"--timeout=200ms"}, 1},
		"no server":                     {"127.0.0.1:1", nil, 1},
		"a server that is broken":       {broken.Listener.Addr().String(), nil, 1},
	} {
		cmd := command(t, dir, append([]string{"probe", "--http.address=" + test.address}, test.args...)...)
		begin := time.Now()
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != test.want {
			t.Errorf("%s: exit status %d after %s: %s", name, code, time.Since(begin), out)
		}
	}
}

func TestPrintingCommands(t *testing.T) {
	dir := newRepository(t)
	for args, want := range map[string]string{
		"version":     "fovea dev (revision ",
		"--version":   "serve version dev\n",
		"config":      "max_image_bytes: 16MiB",
		"models list": model + "   classification  1",
		"models check " + model: model + " version 1: ready\n  device   cpu\n  task     classification, 1000 labels\n" +
			"  input    image float32 [-1 3 224 224]\n  output   logits float32 [-1 1000]\n",
	} {
		out, err := command(t, dir, strings.Fields(args)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
	for args, want := range map[string]string{
		"models check none": "none",
		"models pull":       "name the models, or give --all",
		"models pull none":  "none",
	} {
		out, err := command(t, dir, strings.Fields(args)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
}
