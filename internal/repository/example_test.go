package repository_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"fovea/internal/repository"
)

// A repository of a single model with two versions. Keys that the definition leaves out get their defaults.
func ExampleRepository_Load() {
	dir, cleanup := example(`
task: classification
output:
  decode: softmax
`)
	defer cleanup()
	repo := repository.Open(dir)
	names, err := repo.Names()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range names {
		entry, err := repo.Load(name)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(name, entry.Definition.Task, "top", entry.Definition.Output.TopK)
		for _, version := range entry.Versions {
			fmt.Println("version", version.Number)
		}
	}
	// Output:
	// flowers classification top 5
	// version 1
	// version 2
}

// All errors of a definition are reported together, each with its position and key.
func ExampleRepository_Load_errors() {
	dir, cleanup := example(`
task: classification
input:
  resize: shrink
output:
  decode: softmax
  top_k: 0
`)
	defer cleanup()
	_, err := repository.Open(dir).Load("flowers")
	fmt.Println(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""))
	// Output:
	// flowers/model.yaml:4:3: input.resize: "shrink" is not one of stretch, shortest_edge, cover, crop, letterbox, fit, fit_height, limit, longest_edge, closest, none
	// flowers/model.yaml:7:3: output.top_k: 0 is out of range (1–1000)
}

// example creates a repository of the model flowers.
func example(definition string) (dir string, cleanup func()) {
	dir, err := os.MkdirTemp("", "fovea-example-")
	if err != nil {
		panic(err)
	}
	for name, text := range map[string]string{"model.yaml": definition, "1/model.onnx": "weights", "2/model.onnx": "weights"} {
		path := filepath.Join(dir, "flowers", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			panic(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			panic(err)
		}
	}
	return dir, func() { _ = os.RemoveAll(dir) }
}
