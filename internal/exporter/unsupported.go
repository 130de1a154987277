package exporter

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// otherTask names the task of a model that is not supported, by what its outputs look like; empty if they
// look like no known task.
func (b *builder) otherTask() string {
	outs := b.graph.Outputs
	switch {
	case b.settings["task"] != "":
		return ""
	case b.graph.Ops["ZipMap"] > 0 && !slices.ContainsFunc(outs, isScores):
		return "unclear, since ZipMap turns the scores into maps: export without it (in skl2onnx: convert_sklearn(…, options={id(model): {'zipmap': False}})), or, as for Custom Vision's exports, have the graph's output be the input of the ZipMap node"
	}
	return ""
}

// isVector reports whether an output is a vector of length 1, or is called an embedding.
func (b *builder) isVector(out repository.TensorInfo) bool {
	op := b.graph.OutputOps[out.Name]
	return op == "LpNormalization" || op == "Div" && b.graph.Ops["ReduceL2"] > 0 || strings.Contains(strings.ToLower(out.Name), "embed")
}

// isMask reports whether an output has masks of objects.
func isMask(t repository.TensorInfo) bool {
	return len(t.Shape) >= 3 && strings.Contains(strings.ToLower(t.Name), "mask") && !strings.Contains(strings.ToLower(t.Name), "attention")
}

// foreignOperator names an operator of TensorRT's plugins, which ONNX Runtime does not have; empty if there is none.
func (b *builder) foreignOperator() string {
	for _, op := range slices.Sorted(maps.Keys(b.graph.Ops)) {
		if strings.HasSuffix(op, "_TRT") || strings.HasPrefix(op, "TRT") {
			return op
		}
	}
	return ""
}

// taskNames lists the tasks that can be inferred.
func taskNames() (names []string) {
	for _, task := range repository.Tasks() {
		if task.SeesImages() {
			names = append(names, string(task))
		}
	}
	return names
}

// otherTaskError is the error of a model whose task is not supported.
func otherTaskError(task string) error {
	return fmt.Errorf("the model's task is %s; supported are %s", task, strings.Join(taskNames(), ", "))
}

// allDecoders lists the decoders of all tasks.
func allDecoders() (list []string) {
	for _, task := range repository.Tasks() {
		for _, decode := range repository.Decoders(task) {
			if !slices.Contains(list, decode) {
				list = append(list, decode)
			}
		}
	}
	return list
}
