package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"fovea/internal/repository"
	"fovea/tools/bench/resnet"
)

// resnetDefinition returns a variant's model.yaml, without the case's additions.
func resnetDefinition(v resnet.Variant) string {
	text := "task: classification\nlabels: labels.txt\noutput: {decode: softmax}\n"
	if v.Input == repository.Uint8 {
		return text + "input: {resize: shortest_edge, shortest_edge: 256, color: rgb}\n"
	}
	return text + fmt.Sprintf("input: {resize: shortest_edge, shortest_edge: 256, color: rgb, scale: %v, mean: [%v, %v, %v], std: [%v, %v, %v]}\n",
		1.0/255, resnet.Mean[0], resnet.Mean[1], resnet.Mean[2], resnet.Std[0], resnet.Std[1], resnet.Std[2])
}

// graphSuffix marks the copies of models whose graph normalizes.
const graphSuffix = "-graph"

// writeGraphCopy writes the folder of a variant's copy whose graph normalizes (input.normalize: graph), with the same weights.
func writeGraphCopy(work string, v resnet.Variant) error {
	from, to := filepath.Join(work, v.Name), filepath.Join(work, v.Name+graphSuffix)
	if err := os.MkdirAll(filepath.Join(to, "1"), 0o755); err != nil {
		return err
	}
	definition := strings.Replace(resnetDefinition(v), "input: {", "input: {normalize: graph, ", 1)
	return errors.Join(os.WriteFile(filepath.Join(to, "model.yaml"), []byte(definition), 0o644),
		placeFile(filepath.Join(from, "labels.txt"), filepath.Join(to, "labels.txt")),
		placeFile(filepath.Join(from, "1", "model.onnx"), filepath.Join(to, "1", "model.onnx")))
}

// repositoryFor creates a repository with one model and adds batch size and instances to its definition. The weights are
// hard-linked from the model's folder if possible, else copied.
func repositoryFor(folder, device string, batch int, l layout) (dir string, err error) {
	dir, err = os.MkdirTemp("", "fovea-gpu-bench-")
	if err != nil {
		return "", err
	}
	name := filepath.Base(folder)
	to := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Join(to, "1"), 0o755); err != nil {
		return dir, err
	}
	if err := placeFile(filepath.Join(folder, "1", "model.onnx"), filepath.Join(to, "1", "model.onnx")); err != nil {
		return dir, err
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return dir, err
	}
	for _, file := range files {
		if file.Type().IsRegular() {
			err = errors.Join(err, copyDefinition(filepath.Join(folder, file.Name()), to, device, batch, l))
		}
	}
	return dir, err
}

// placeFile links or copies a file.
func placeFile(from, to string) (err error) {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// simulatedCUDA reports whether scripts/gpu-env replaced CUDA by the simulated one.
func simulatedCUDA() bool { return os.Getenv("FOVEA_TEST_GPU_SIMULATED") != "" }

// copyDefinition copies one file of a model's folder, and adds to model.yaml.
func copyDefinition(from, to, device string, batch int, l layout) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if filepath.Base(from) == "model.yaml" {
		if simulatedCUDA() { // its outputs are meaningless
			data = regexp.MustCompile(`(?m)^self_test:\n(  .*\n)*`).ReplaceAll(data, nil)
		}
		data = append(data, caseDefinition(device, batch, l)...)
	}
	return os.WriteFile(filepath.Join(to, filepath.Base(from)), data, fs.FileMode(0o644))
}

// caseDefinition returns a case's addition to a definition. The queue holds all requests in flight.
func caseDefinition(device string, batch int, l layout) string {
	var text strings.Builder
	fmt.Fprintf(&text, "\nbatching: {max_size: %d, queue: %d}\ninstances:\n", batch, 2*clients(batch, l))
	fmt.Fprintf(&text, "  - {device: %q, count: %d}\n", device, l.Instances)
	return text.String()
}

// clients returns the number of requests in flight: those running, those filling the next batches, and as many again, so that
// no batch waits for a client that is processing its response.
func clients(batch int, l layout) int { return max(16, 4*batch*l.Sessions*l.Instances) }

func appendFloat(row []byte, v float32) []byte {
	return binary.LittleEndian.AppendUint32(row, math.Float32bits(v))
}
