// Package resnet writes ResNet-50 with random weights as an ONNX model and as a plain list of its weights, so that the same
// network runs in ONNX Runtime and PyTorch on a machine without network access. It is as fast as the trained network; its
// outputs are meaningless.
//
// The network is torchvision's resnet50 (He and others, "Deep Residual Learning for Image Recognition", 2015, with the
// stride in the 3×3 convolution): input N×3×224×224, output N×1000 logits.
package resnet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"fovea/internal/repository"
)

// Size is the width and height of the input in pixels, Classes the number of logits.
const (
	Size    = 224
	Classes = 1000
)

// Variant is a variant of the network. All have the same weights, rounded to the variant's dtype.
type Variant struct {
	Name    string           // of the model's folder
	Weights repository.DType // of weights and activations: float32 or float16
	Input   repository.DType // like the weights: N×3×224×224, normalized; or uint8: N×224×224×3, normalized in the graph
}

// Variants are all variants.
var Variants = []Variant{
	{"resnet50-fp32", repository.Float32, repository.Float32},
	{"resnet50-fp16", repository.Float16, repository.Float16},
	{"resnet50-fp16-uint8", repository.Float16, repository.Uint8},
}

// Mean and Std are ImageNet's, for colors from 0 to 1, as torchvision's weights expect.
var (
	Mean = [3]float64{0.485, 0.456, 0.406}
	Std  = [3]float64{0.229, 0.224, 0.225}
)

// Write writes the variant's model folder into a repository: model.yaml, labels.txt and 1/model.onnx. The caller provides
// the definition.
func (v Variant) Write(repository, definition string) error {
	dir := filepath.Join(repository, v.Name)
	if err := os.MkdirAll(filepath.Join(dir, "1"), 0o755); err != nil {
		return err
	}
	labels := make([]byte, 0, 16*Classes)
	for i := range Classes {
		labels = fmt.Appendf(labels, "class %d\n", i)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "labels.txt"), labels, 0o644),
		os.WriteFile(filepath.Join(dir, "model.yaml"), []byte(definition), 0o644),
		os.WriteFile(filepath.Join(dir, "1", "model.onnx"), v.model().Bytes(), 0o644))
}

// WriteWeights writes the weights as float32, little endian, in the order of torchvision's state_dict without the
// counters num_batches_tracked.
func WriteWeights(path string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buffered := bufio.NewWriterSize(file, 1<<20)
	if err := writeWeights(buffered); err != nil {
		return err
	}
	return buffered.Flush()
}

func writeWeights(w io.Writer) error {
	for _, t := range weights() {
		if err := binary.Write(w, binary.LittleEndian, t.values); err != nil {
			return err
		}
	}
	return nil
}
