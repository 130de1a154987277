package repository_test

import (
	"fmt"

	"fovea/internal/repository"
)

// Keys that are left out get their defaults.
func ExampleParse() {
	definition, err := repository.Parse([]byte(`
task: classification
input:
  resize: shortest_edge
  shortest_edge: 256
output:
  decode: softmax
`), "model.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(definition.Task, definition.Output.Decode, definition.Output.TopK)
	// Output: classification softmax 5
}

// All errors are reported together, with line and key.
func ExampleParse_errors() {
	_, err := repository.Parse([]byte(`
task: classification
input:
  resize: shrink
output:
  decode: softmax
  top_k: 0
`), "model.yaml")
	fmt.Println(err)
	// Output:
	// model.yaml:4:3: input.resize: "shrink" is not one of stretch, shortest_edge, letterbox
	// model.yaml:7:3: output.top_k: 0 is out of range (1–1000)
}
