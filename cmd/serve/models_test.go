package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/testenv"
)

func TestMisplacedModelsAreListed(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"named/model.yaml": "task: classification\noutput: {decode: softmax}\n", "named/1/resnet50.onnx": "x",
		"lfs/model.yaml": "task: classification\noutput: {decode: softmax}\n", "lfs/1/model.onnx": "version https://git-lfs.github.com/spec/v1\nsize 5\n",
		"triton/config.pbtxt": "", "triton/1/model.plan": "x", "bare.onnx": "x",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	cfg := defaults()
	cfg.Repository.Dir, cfg.Inference.Library, cfg.Inference.Device = dir, testenv.ORTLibrary(t), "cpu"
	var out bytes.Buffer
	if err := listModels(t.Context(), cfg, nil, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"named/1/resnet50.onnx (must be named model.onnx)", "not a model: " + dir + "/triton has weights", "not a model: " + dir + "/bare.onnx is directly in"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("list: no %q in\n%s", want, out.String())
		}
	}
	for name, want := range map[string]string{"named": "resnet50.onnx (must be named model.onnx)", "triton": "config.pbtxt is Triton's", "lfs": "Git LFS pointer"} {
		err := checkModels(t.Context(), cfg, []string{name}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check %s: no %q in %v", name, want, err)
		}
	}
}
