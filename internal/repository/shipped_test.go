package repository

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fovea/internal/testenv"
)

func TestShippedDefinitionsAreComplete(t *testing.T) {
	names := Shipped()
	for _, want := range []string{"deimv2-atto", "mobilenetv2-12-int8", "squeezenet-fp16", "squeezenet-fp32",
		"yolox-nano", "yolox-nano-batch"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %v", want, names)
		}
	}
	for _, name := range names {
		d, err := LoadShipped(name)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		want := map[Task]int{Classification: 1000, Detection: 80}[d.Task]
		if len(d.Labels) != want {
			t.Errorf("%s has %d labels, want %d", name, len(d.Labels), want)
		}
		if d.Source.License == "" || d.Source.SHA256 == "" {
			t.Errorf("%s does not say where its weights come from: %+v", name, d.Source)
		}
	}
}

func TestShippedHashesAreThoseOfTheFiles(t *testing.T) {
	dir, ok := testenv.SharedModels(t)
	if !ok {
		dir = testenv.Models(t) // the default model at least
	}
	checked := 0
	for _, name := range Shipped() {
		d, err := LoadShipped(name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name+".onnx")
		if !ok {
			path = filepath.Join(dir, name, "1", "model.onnx")
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		defer f.Close()
		hash := sha256.New()
		size, err := io.Copy(hash, f)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(hash.Sum(nil)); got != d.Source.SHA256 || d.Source.Size != 0 && d.Source.Size != size {
			t.Errorf("%s: the file has %s, %d bytes; model.yaml says %+v", name, got, size, d.Source)
		}
		checked++
	}
	if checked == 0 {
		t.Errorf("no weights of %v are in %s", Shipped(), dir)
	}
}

func TestInstallWritesAShippedDefinitionOnce(t *testing.T) {
	dir := t.TempDir()
	if err := Install(dir, "yolox-nano"); err != nil {
		t.Fatal(err)
	}
	entry, err := Open(dir).Load("yolox-nano")
	if err != nil || len(entry.Definition.Labels) != 80 {
		t.Fatalf("entry %+v, error %v", entry, err)
	}
	own := filepath.Join(dir, "yolox-nano", "model.yaml")
	if err := os.WriteFile(own, []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Install(dir, "yolox-nano"); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(own); string(data) != good {
		t.Error("a definition that was changed is written over")
	}
}
