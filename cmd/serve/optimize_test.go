package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/inference"
	"fovea/internal/exitcode"
	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
)

// python is an interpreter with onnx and onnxruntime, which FOVEA_TEST_PYTHON names, or python3; the test is skipped without one.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("FOVEA_TEST_PYTHON")
	if path == "" {
		path = "python3"
	}
	if err := exec.CommandContext(t.Context(), path, "-c", "import onnx, onnxruntime.quantization").Run(); err != nil {
		t.Skip("needs Python with onnx and onnxruntime; FOVEA_TEST_PYTHON names one")
	}
	return path
}

// stages is what a program may leave in the repository.
func stages(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// convolutional is a classifier of colors with layers to quantize: a convolution of 8×8 pixels to 32 channels, then classes. Noise is
// added to its weights.
func convolutional(width int, noise float32) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	values := func(n int, scale float32) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = scale * float32(r.NormFloat64())
		}
		return out
	}
	m := &onnxwriter.Model{Metadata: map[string]string{"who": "test"}}
	m.Input("image", onnxwriter.Float, "n", 3, 32, 32)
	first := values(width*3*3*3, 0.05*noise)
	for c := range 3 {
		first[27*c+9*c+4]++ // the center of channel c
	}
	m.Floats("first", first, width, 3, 3, 3)
	m.Node("Conv", "a", onnxwriter.Attributes{"pads": []int{1, 1, 1, 1}}, "image", "first")
	m.Node("Relu", "b", nil, "a")
	second := values(width*width*3*3, 0.01*noise)
	for c := range 3 {
		second[width*9*c+9*c+4]++
	}
	m.Floats("second", second, width, width, 3, 3)
	m.Node("Conv", "c", onnxwriter.Attributes{"pads": []int{1, 1, 1, 1}}, "b", "second")
	m.Node("Relu", "d", nil, "c")
	m.Node("GlobalAveragePool", "e", nil, "d")
	m.Node("Flatten", "f", nil, "e")
	last := values(width*3, 0.05*noise)
	for c := range 3 {
		last[3*c+c] += 10
	}
	m.Floats("last", last, width, 3)
	m.Node("MatMul", "logits", nil, "f", "last")
	m.Output("logits", onnxwriter.Float, "n", 3)
	return m.Bytes()
}

const convolutionalDefinition = "task: classification\nlabels: labels.txt\ninput: {width: 32, height: 32, scale: 0.00392156862745098}\noutput: {decode: softmax, top_k: 3}\n"

func optimizer(t *testing.T, dir, images string, change func(*optimization)) (*optimization, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	o := &optimization{cfg: colorsConfig(t, dir), text: "colors", to: toInt8, images: images, calibration: 20, drop: 0.01, agreement: -1, speedup: 0,
		json: true, out: &out, progress: t.Output()}
	if change != nil {
		change(o)
	}
	return o, &out
}

// TestOptimizeWithTheQuantizer has ONNX Runtime's quantizer make an int8 version.
func TestOptimizeWithTheQuantizer(t *testing.T) {
	interpreter := python(t)
	dir, images := colorRepository(t, "", convolutional(16, 1)), t.TempDir()
	write(t, filepath.Join(dir, "colors", "model.yaml"), []byte(convolutionalDefinition))
	write(t, filepath.Join(dir, "colors", "1", "note.txt"), []byte("kept"))
	colorFolders(t, images, 15)
	for _, bits := range []int{7, 8} {
		o, out := optimizer(t, dir, images, func(o *optimization) { o.python, o.bits, o.text = interpreter, bits, "colors/1" })
		if err := o.run(t.Context()); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		var found findings
		if err := json.Unmarshal(out.Bytes(), &found); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(found.Variants, func(v *variant) bool { return v.Kept })
		if i < 0 || found.Version != bits-5 || found.Bits != bits || found.Variants[i].Accuracy.Accuracy != 1 || found.Variants[i].Images != 25 || found.Variants[i].Speed.Model <= 0 {
			t.Fatalf("%s", out.String())
		}
		entry, err := repository.Open(dir).Load("colors")
		if err != nil {
			t.Fatal(err)
		}
		version := entry.Versions[len(entry.Versions)-1]
		weights, err := entry.Weights(version)
		if err != nil || version.Number != found.Version || !weights.Quantized || weights.Reduced != (bits == 7) {
			t.Errorf("version %d: %+v, %v", version.Number, weights, err)
		}
		for name, want := range map[string]string{"note.txt": "kept", "optimized.json": `"version": ` + fmt.Sprint(found.Version)} {
			if data, err := os.ReadFile(filepath.Join(filepath.Dir(version.Path), name)); err != nil || !strings.Contains(string(data), want) {
				t.Errorf("%s: %s, %v", name, data, err)
			}
		}
		file, err := os.Open(version.Path)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := file.Stat()
		graph, err := repository.ReadGraph(file, info.Size())
		_ = file.Close()
		if err != nil || graph.Metadata["who"] != "test" || !strings.Contains(graph.Metadata["fovea.optimized"], "int8") {
			t.Errorf("metadata %v, %v", graph.Metadata, err)
		}
		if left := stages(t, dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if o, _ := optimizer(t, dir, images, func(o *optimization) { o.python = interpreter }); true {
		if err := o.run(t.Context()); err == nil || !strings.Contains(err.Error(), "colors version 3 is quantized already") {
			t.Errorf("the newest version: %v", err)
		}
	}
	o, out := optimizer(t, dir, images, func(o *optimization) { o.python, o.to, o.speedup, o.text = interpreter, toFP16, 100, "colors/1" })
	if err := o.run(t.Context()); err == nil || !strings.Contains(out.String(), "times as fast, less than 100") {
		t.Errorf("float16 that is 100 times as fast: %v\n%s", err, out.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "colors", "4")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a version that is not kept is there: %v", err)
	}
}

// script is a stand-in for the quantizer: a shell script that is run as the Python interpreter.
func script(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n[ \"$1\" = -c ] && exit 0\n"+lines), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOptimizeKeepsNothingWorse takes as variants what scripts write, and expects the repository to be as before.
func TestOptimizeKeepsNothingWorse(t *testing.T) {
	worse := filepath.Join(t.TempDir(), "worse.onnx")
	write(t, worse, colorClassifier(0, 2, 1))
	same := filepath.Join(t.TempDir(), "same.onnx")
	write(t, same, colorClassifier(0, 1, 2))
	makes := func(file string) string {
		return "mkdir -p out\ncp " + file + " out/a.onnx\necho 'noise of a library'\necho '{\"progress\": \"works\"}'\necho '{\"candidate\": \"out/a.onnx\", \"method\": \"copy\"}'\n"
	}
	images := t.TempDir()
	colorFolders(t, images, 10)
	for what, c := range map[string]struct {
		script string
		change func(*optimization)
		says   []string
	}{
		"less accurate":            {makes(worse), nil, []string{"no variant is kept", "the agreement is below 0.95, the accuracy drops by more than 0.01"}},
		"no model":                 {"mkdir -p out; echo no >out/a.onnx; echo '{\"candidate\": \"out/a.onnx\"}'\n", nil, []string{"no variant is kept", "it does not load"}},
		"not faster":               {makes(same), func(o *optimization) { o.speedup = 50 }, []string{"no variant is kept", "times as fast, less than 50"}},
		"a failure":                {"echo 'ImportError: no module' >&2; exit 3\n", nil, []string{"the quantizer failed: exit status 3: ImportError: no module"}},
		"nothing":                  {"exit 0\n", nil, []string{"the quantizer made nothing"}},
		"a line without end":       {"head -c 3000000 /dev/zero | tr '\\0' x; sleep 600\n", nil, []string{"the quantizer's output: "}},
		"a file elsewhere":         {"echo '{\"candidate\": \"/etc/passwd\"}'\n", nil, []string{`"/etc/passwd" is not in the stage`}},
		"too few images":           {makes(same), func(o *optimization) { o.images = t.TempDir() }, []string{"has 0 images; want at least 20"}},
		"no images":                {makes(same), func(o *optimization) { o.images = "" }, []string{"--images: is required, as the model has no versions.gate"}},
		"a path":                   {makes(same), func(o *optimization) { o.text = same }, []string{"is not a model of the repository"}},
		"another kind":             {makes(same), func(o *optimization) { o.to, o.bits, o.drop = "int4", 6, 2 }, []string{`--to: "int4" is neither int8 nor fp16`, "--weight-bits: 6", "--max-drop: 2 is out of range"}},
		"an interpreter without":   {makes(same), func(o *optimization) { o.python = "/none/python" }, []string{"--python: "}},
		"a version that is absent": {makes(same), func(o *optimization) { o.text = "colors/4" }, []string{"model colors has no version 4; it has 1"}},
	} {
		t.Run(what, func(t *testing.T) {
			dir := colorRepository(t, "", colorClassifier(0, 1, 2))
			o, out := optimizer(t, dir, images, func(o *optimization) {
				o.python = script(t, c.script)
				if c.change != nil {
					c.change(o)
				}
			})
			err := o.run(t.Context())
			for _, want := range c.says {
				if err == nil || !strings.Contains(err.Error()+out.String(), want) {
					t.Errorf("no %q in %v\n%s", want, err, out.String())
				}
			}
			if left := stages(t, dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if _, err := os.Stat(filepath.Join(dir, "colors", "2")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("version 2 is there: %v", err)
			}
		})
	}
}

// TestOptimizeUsesTheImagesOfTheGate, and writes the version after the highest, from the one that was named.
func TestOptimizeUsesTheImagesOfTheGate(t *testing.T) {
	same := filepath.Join(t.TempDir(), "same.onnx")
	write(t, same, colorClassifier(0, 1, 2))
	dir := colorRepository(t, "versions: {gate: {images: held, max_drop: 0.01}}\n", colorClassifier(0, 1, 2), colorClassifier(0, 2, 1))
	colorFolders(t, filepath.Join(dir, "colors", "held"), 10)
	run := script(t, "mkdir -p out\ncp "+same+" out/a.onnx\nls rows >"+filepath.Dir(same)+"/rows\ncp rows/inputs.json "+filepath.Dir(same)+"\necho '{\"candidate\": \"out/a.onnx\"}'\n")
	o, out := optimizer(t, dir, "", func(o *optimization) { o.python, o.text, o.json = run, "colors/1", false })
	if err := o.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if data, err := os.ReadFile(filepath.Join(dir, "colors", "3", "model.onnx")); err != nil || !bytes.Equal(data, colorClassifier(0, 1, 2)) || !strings.Contains(out.String(), "kept as version 3") {
		t.Errorf("%v\n%s", err, out.String())
	}
	rows, err := os.ReadFile(filepath.Join(filepath.Dir(same), "rows"))
	if err != nil || strings.Count(string(rows), ".npy") != 15 || !strings.Contains(string(rows), "00014-0.npy") {
		t.Errorf("calibration data: %s, %v", rows, err)
	}
	if names, err := os.ReadFile(filepath.Join(filepath.Dir(same), "inputs.json")); err != nil || string(names) != `["image"]` {
		t.Errorf("inputs %s, %v", names, err)
	}
}

// TestOptimizeLeavesTheModelAsItIs: files that the definition names in a folder of a version are copied with that folder as well.
func TestOptimizeLeavesTheModelAsItIs(t *testing.T) {
	same := filepath.Join(t.TempDir(), "same.onnx")
	write(t, same, colorClassifier(0, 1, 2))
	dir, images := colorRepository(t, "", colorClassifier(0, 1, 2)), t.TempDir()
	colorFolders(t, images, 10)
	if err := os.Remove(filepath.Join(dir, "colors", "labels.txt")); err != nil {
		t.Fatal(err)
	}
	definition := []byte(strings.Replace(colorsDefinition, "labels.txt", "1/labels.txt", 1) + "self_test: {image: test/red.png, label: red}\n")
	labels, red := []byte("red\ngreen\nblue\n"), oneColor(t, channels["red"])
	before := map[string][]byte{"model.yaml": definition, "1/labels.txt": labels, "test/red.png": red, "1/model.onnx": colorClassifier(0, 1, 2)}
	for name, data := range before {
		write(t, filepath.Join(dir, "colors", name), data)
	}
	run := script(t, "mkdir -p out\ncp "+same+" out/a.onnx\necho '{\"candidate\": \"out/a.onnx\"}'\n")
	o, out := optimizer(t, dir, images, func(o *optimization) { o.python = run })
	if err := o.run(t.Context()); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	for name, want := range before {
		if data, err := os.ReadFile(filepath.Join(dir, "colors", name)); err != nil || !bytes.Equal(data, want) {
			t.Errorf("%s has %d bytes, want %d: %v", name, len(data), len(want), err)
		}
	}
}

// TestOptimizeEndsWithASignal interrupts the command while its quantizer sleeps.
func TestOptimizeEndsWithASignal(t *testing.T) {
	dir, images := colorRepository(t, "", colorClassifier(0, 1, 2)), t.TempDir()
	colorFolders(t, images, 10)
	mark := filepath.Join(t.TempDir(), "pid")
	slow := script(t, "sleep 600 & echo $! >"+mark+".new; mv "+mark+".new "+mark+"; wait\n")
	c := command(t, dir, "models", "optimize", "colors", "--images", images, "--python", slow)
	var text bytes.Buffer
	c.Stdout, c.Stderr = &text, &text
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	var pid int
	deadline := time.Now().Add(time.Minute)
	for pid == 0 {
		if data, err := os.ReadFile(mark); err == nil {
			_, _ = fmt.Sscan(string(data), &pid)
		}
		if time.Now().After(deadline) {
			t.Fatal("the quantizer does not run")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if exitStatus(err) != exitcode.Interrupted || !strings.HasSuffix(text.String(), "serve: models optimize: interrupted\n") {
			t.Errorf("%v\n%s", err, text.String())
		}
	case <-time.After(time.Minute):
		_ = c.Process.Kill()
		t.Fatal("it does not end")
	}
	if left := stages(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for deadline := time.Now().Add(time.Minute); runs(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the quantizer's process still runs")
		}
	}
}

// runs reports whether a process has not ended. One that its parent does not wait for has the state Z.
func runs(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(data), ") ")
	return err == nil && !strings.HasPrefix(after, "Z")
}

func TestSplitOfImages(t *testing.T) {
	for n := 20; n < 400; n += 7 {
		var images []string
		for i := range n {
			images = append(images, fmt.Sprintf("%04d.png", i))
		}
		o := &optimization{to: toInt8, calibration: 128, limit: 0}
		o.split(images)
		both := append(slices.Clone(o.calibrating), o.held...)
		slices.Sort(both)
		if len(o.calibrating) != min(128, n/2) || !slices.Equal(both, images) {
			t.Errorf("%d images: %d calibrate, %d are held out", n, len(o.calibrating), len(o.held))
		}
		if o = (&optimization{to: toFP16, limit: 15}); true {
			o.split(images)
		}
		if len(o.calibrating) != 0 || len(o.held) != 15 {
			t.Errorf("fp16 of %d images: %d calibrate, %d are held out", n, len(o.calibrating), len(o.held))
		}
	}
}

func TestNPY(t *testing.T) {
	file, err := npy(inference.Tensor{Name: "x", DType: repository.Float32, Shape: []int64{1, 2}, Data: []byte("12345678")})
	header, data := file[:len(file)-8], file[len(file)-8:]
	if err != nil || len(header)%64 != 0 || !bytes.HasPrefix(header, []byte("\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1,2,), }")) ||
		header[len(header)-1] != '\n' || string(data) != "12345678" {
		t.Errorf("%q, %v", file, err)
	}
	if _, err := npy(inference.Tensor{Name: "x", DType: repository.Bool}); err == nil {
		t.Error("a type that has no name in NumPy")
	}
}

// TestInterleavedRatio counts a clock that each call moves on: one takes twice as long.
func TestInterleavedRatio(t *testing.T) {
	now := time.Duration(0)
	order := ""
	calls := func(name string, takes time.Duration) func() error {
		return func() error { now += takes; order += name; return nil }
	}
	ratio, a, b, err := interleaved(t.Context(), func() time.Duration { return now }, calls("a", 20*time.Millisecond), calls("b", 10*time.Millisecond))
	if err != nil || ratio != 2 || a != 20*time.Millisecond || b != 10*time.Millisecond {
		t.Errorf("%v, %v, %v, %v", ratio, a, b, err)
	}
	if strings.Count(order, "a"+strings.Repeat("b", 32)+"a") != turns/2 {
		t.Errorf("the order does not alternate: %s", order)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := interleaved(ctx, func() time.Duration { return now }, calls("a", 1), calls("b", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
