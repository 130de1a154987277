package postprocess

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"fovea/internal/repository"
)

// New makes the decoder that a definition asks for and holds it against the model's outputs: their names, dtypes,
// row shapes (without the batch dimension, -1 where open) and number of classes. Data of the outputs is not
// read. The definition must be resolved. The error joins everything that does not transform, naming both sides.
func New(def repository.Definition, outputs []Tensor) (Decoder, error) {
	decoders := map[string]func(repository.Definition, []Tensor) (Decoder, error){
		repository.DecodeSoftmax:       newClassifier,
		repository.DecodeProbabilities: newClassifier,
		repository.DecodeYOLOX:         newYOLOX,
		repository.DecodeBoxes:         newBoxes,
	}
	build, ok := decoders[def.Output.Decode]
	if !ok {
		return nil, fmt.Errorf("output.decode: %q is not known", def.Output.Decode)
	}
	decoder, err := build(def, outputs)
	if err != nil {
		return nil, err
	}
	return decoder, nil
}

// source is an output that a decoder reads: where it stands, and what it was at load.
type source struct {
	index int
	name  string
	dtype repository.DType
}

// The element types of outputs that hold scores, and of those that hold boxes or classes.
var (
	floatTypes  = repository.ScoreTypes()
	numberTypes = repository.NumberTypes()
)

// pick finds an output by the name that key gives and checks its dtype.
func pick(outputs []Tensor, key, name string, allowed ...repository.DType) (source, []int64, error) {
	i := slices.IndexFunc(outputs, func(t Tensor) bool { return t.Name == name })
	if i < 0 && name == "" && len(outputs) == 1 {
		i = 0
	}
	if i < 0 {
		return source{}, nil, fmt.Errorf("%s: model.yaml says %q, model.onnx has the outputs %s", key, name, names(outputs))
	}
	t := outputs[i]
	if !slices.Contains(allowed, t.DType) {
		return source{}, nil, fmt.Errorf("%s: model.onnx gives %q the dtype %s; allowed: %v", key, t.Name, t.DType, allowed)
	}
	return source{i, t.Name, t.DType}, t.Shape, nil
}

func names(outputs []Tensor) string {
	quoted := make([]string, len(outputs))
	for i, t := range outputs {
		quoted[i] = fmt.Sprintf("%q", t.Name)
	}
	return strings.Join(quoted, ", ")
}

// read returns the row's tensor after checking it.
func (s source) read(outputs []Tensor) (*Tensor, error) {
	if s.index >= len(outputs) {
		return nil, broken(errors.New("an output is missing"))
	}
	t := &outputs[s.index]
	return t, t.check(s.dtype)
}

// checkClasses compares the number of classes in an output, -1 where open, with the labels.
func checkClasses(def *repository.Definition, output string, classes int64) error {
	labels, first := int64(len(def.Labels)), int64(def.Output.ClassFirst)
	switch {
	case classes < 0:
		return nil
	case classes <= first:
		return fmt.Errorf("output.class_first: model.yaml says %d, output %q of model.onnx has %d classes", first, output, classes)
	case labels > 0 && classes-first != labels:
		return fmt.Errorf("labels: %s has %d labels, output %q of model.onnx has %d classes",
			def.LabelsFile, labels, output, classes-first)
	}
	return nil
}

// label is a class's label, empty where the model has none.
func label(labels []string, class int) string {
	if class < len(labels) {
		return labels[class]
	}
	return ""
}

// scratch is what a decoder needs for one row and gives back.
type scratch struct {
	floats, more []float32
	ranking      ranking
	candidates   []candidate
	kept         []candidate
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}
