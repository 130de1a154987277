package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestGateKeepsTheServedVersionUnderLoad adds a version that confuses two classes, and then a good one, while clients send requests.
func TestGateKeepsTheServedVersionUnderLoad(t *testing.T) {
	held := t.TempDir() // an absolute folder, outside of the repository
	colorFolders(t, held, 80)
	dir := colorRepository(t, "versions: {gate: {images: "+held+", min_accuracy: 0.9, max_drop: 0.01}}\n", colorClassifier(0, 1, 2))
	p := start(t, dir).waitReady()
	blue := oneColor(t, channels["blue"])
	stop := load(t, 3, func(int) error {
		got, err := p.do("POST", "/v1/models/colors/predict", map[string][]string{"Content-Type": {"image/png"}}, bytes.NewReader(blue))
		if err == nil && (got.status != 200 || got.Predictions[0].Top[0].Label != "blue") {
			err = fmt.Errorf("%d %s", got.status, got.body)
		}
		return err
	})
	write(t, filepath.Join(dir, "colors", "2", "model.onnx"), colorClassifier(0, 2, 1))
	p.signal(syscall.SIGHUP)
	const says = "refused by versions.gate: the accuracy 0.3333 on 240 images is 0.6667 below that of version 1, 1.0000; max_drop is 0.01"
	p.wait("version 2 is refused", func() bool {
		got := p.get("/v1/models/colors").body
		return strings.Contains(got, says) && strings.Contains(got, `"gate":{"passed":false,"reason":"min_accuracy","images":240,"against":"1",`) &&
			strings.Contains(got, `"version":"1","state":"ready"`)
	})
	metrics := p.get("/metrics").body
	for _, want := range []string{`fovea_gate_refused{model="colors",reason="min_accuracy",version="2"} 1`, `fovea_gate_measure{measure="images",model="colors",version="2"} 240`,
		`fovea_gate_measure{measure="accuracy",model="colors",version="2"} 0.333`, `fovea_gate_measure{measure="served_accuracy",model="colors",version="2"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, grep(metrics, "fovea_gate"))
		}
	}
	if !strings.Contains(p.logged(), `"msg":"version not taken: it did not pass its gate","model":"colors","version":"2"`) || !strings.Contains(p.logged(), says) {
		t.Error("the log does not say why")
	}
	write(t, filepath.Join(dir, "colors", "3", "model.onnx"), colorClassifier(0, 1, 2))
	p.signal(syscall.SIGHUP)
	p.wait("version 3 replaces version 1", func() bool {
		got := p.get("/v1/models/colors").body
		return strings.Contains(got, `"version":"3","state":"ready"`) && !strings.Contains(got, `"version":"1"`)
	})
	if n := stop(); n == 0 {
		t.Error("no request was answered")
	}
	if err := os.RemoveAll(filepath.Join(dir, "colors", "3")); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func grep(text, part string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
