package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/internal/testenv"
)

// addTiny adds one of the tiny classifiers of inference/testdata to a repository.
func addTiny(t *testing.T, dir, name, file string) {
	t.Helper()
	weights, err := os.ReadFile(filepath.Join(testenv.Root(t), "inference", "testdata", file+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, name, "1"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string]string{
		"1/model.onnx": string(weights), "labels.txt": "red\ngreen\nblue\n",
		"model.yaml": "task: classification\nlabels: labels.txt\ninput: {width: 8, height: 8, scale: 0.00392156862745098}\noutput: {decode: softmax, top_k: 1}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name, path), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEndlessLoadDoesNotBlockOthers(t *testing.T) {
	dir := newRepository(t)
	addTiny(t, dir, "bad", "colors-endless")
	p := start(t, dir).waitReady()
	p.good()
	if got := p.get("/v1/models/bad"); !strings.Contains(got.body, `"state":"loading"`) {
		t.Errorf("the bad model: %s", got.body)
	}
	addTiny(t, dir, "late", "colors")
	p.signal(syscall.SIGHUP)
	p.wait("a model that came later is ready", func() bool { return strings.Contains(p.get("/v1/models/late").body, `"state":"ready"`) })
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if !strings.Contains(p.logged(), "drained") {
		t.Error("the server did not drain")
	}
}

func TestEndlessLoadOfARequiredModelEndsTheServer(t *testing.T) {
	dir := newRepository(t)
	addTiny(t, dir, "bad", "colors-endless")
	out, err := command(t, dir, "--http.address=127.0.0.1:0", "--inference.models=bad:required,"+model, "--inference.load_timeout=500ms").CombinedOutput()
	if exitStatus(err) != 78 || !strings.Contains(string(out), "not loaded within inference.load_timeout, 500ms") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUnstoppableLoadDoesNotDelayShutdown(t *testing.T) {
	dir := t.TempDir()
	addTiny(t, dir, "bad", "colors-slow-node")
	p := start(t, dir)
	p.wait("it is within the node that takes seconds", func() bool {
		_, value, _ := strings.Cut(p.get("/metrics").body, "\nprocess_cpu_seconds_total ")
		value, _, _ = strings.Cut(value, "\n")
		seconds, err := strconv.ParseFloat(value, 64)
		return err == nil && seconds > 1
	})
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 0 || !strings.Contains(p.logged(), "a failed load is still computing") {
		t.Errorf("exit status %d", code)
	}
}

func TestEndlessRunIs504AndTheModelKeepsServing(t *testing.T) {
	dir := newRepository(t)
	addTiny(t, dir, "red", "colors-red-endless")
	p := start(t, dir, "--inference.instances=1", "--inference.workers=1", "--http.timeout=500ms").waitReady()
	endless, harmless := onePixel(0xFF, 0, 0), onePixel(0, 0xFF, 0)
	for range 2 {
		if got := p.post("/v1/models/red/predict", "image/png", endless); got.status != 504 {
			t.Fatalf("a request that never ends: %d %s", got.status, got.body)
		}
		p.wait("the instance serves other requests", func() bool {
			return p.post("/v1/models/red/predict", "image/png", harmless).status == 200
		})
		p.good()
	}
	p.wait("the end of the run is logged", func() bool { return strings.Contains(p.logged(), "run terminated") })
	p.post("/v1/models/red/predict", "image/png", endless)
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestRunIsTerminatedAtTheEndOfShutdown(t *testing.T) {
	dir := newRepository(t)
	addTiny(t, dir, "red", "colors-red-endless")
	p := start(t, dir, "--http.timeout=10m", "--shutdown.timeout=2s").waitReady()
	answered := make(chan reply, 1)
	go func() {
		got, _ := p.do("POST", "/v1/models/red/predict", map[string][]string{"Content-Type": {"image/png"}}, strings.NewReader(string(onePixel(0xFF, 0, 0))))
		answered <- got
	}()
	p.wait("the run", func() bool {
		return strings.Contains(p.get("/metrics").body, `fovea_queue_depth{model="red",version="1"} 1`)
	})
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 1 || !strings.Contains(p.logged(), "1 requests were cut off") || strings.Contains(p.logged(), "still in use") {
		t.Errorf("exit status %d", code)
	}
	<-answered
}

func TestModelsCheckEndsOnSignalAndTimeout(t *testing.T) {
	dir := newRepository(t)
	addTiny(t, dir, "bad", "colors-endless")
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		check := command(t, dir, "models", "check", "bad")
		var out strings.Builder
		check.Stdout, check.Stderr = &out, &out
		if err := check.Start(); err != nil {
			t.Fatal(err)
		}
		stuck := time.AfterFunc(time.Minute, func() { _ = check.Process.Kill() })
		go func() {
			for check.Process.Signal(s) == nil { // the first may come before it listens for them
				time.Sleep(500 * time.Millisecond)
			}
		}()
		err := check.Wait()
		stuck.Stop()
		if status := exitStatus(err); status != 1 && check.ProcessState.Sys().(syscall.WaitStatus).Signal() != s {
			t.Errorf("%s: %v\n%s", s, err, out.String())
		}
	}
	out, err := command(t, dir, "models", "check", "bad", "--inference.load_timeout=300ms").CombinedOutput()
	if exitStatus(err) != 1 || !strings.Contains(string(out), "bad version 1: failed") || !strings.Contains(string(out), "inference.load_timeout") {
		t.Errorf("%v\n%s", err, out)
	}
}

// onePixel is a PNG of one pixel.
func onePixel(r, g, b byte) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	m.SetNRGBA(0, 0, color.NRGBA{r, g, b, 0xFF})
	var data bytes.Buffer
	_ = png.Encode(&data, m) // into memory
	return data.Bytes()
}
