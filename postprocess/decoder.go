package postprocess

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"fovea/internal/repository"
)

// New returns the decoder of a resolved definition. It checks the names, dtypes, row shapes (without the batch dimension, -1
// where open) and number of classes of the model's outputs, and does not read their data. The error joins all mismatches,
// each with both sides.
func New(def repository.Definition, outputs []Tensor) (Decoder, error) {
	x, err := newExtra(&def, outputs)
	if err != nil {
		return nil, err
	}
	switch def.Output.Decode {
	case repository.DecodeSoftmax, repository.DecodeProbabilities, repository.DecodeSigmoid:
		return newClassifier(def, outputs)
	case repository.DecodeYOLO, repository.DecodeYOLOv5:
		return newYOLO(def, outputs, x)
	case repository.DecodeYOLOX:
		return newYOLOX(def, outputs)
	case repository.DecodeYOLOv5Raw:
		return newYOLOv5Raw(def, outputs)
	case repository.DecodeRows:
		return newRows(def, outputs, x)
	case repository.DecodeDETR:
		return newDETR(def, outputs, x)
	case repository.DecodeBoxes:
		return newBoxes(def, outputs, x)
	case repository.DecodeYuNet:
		return newYuNet(def, outputs, x)
	}
	if open, ok := taskDecoders[def.Output.Decode]; ok {
		return open(def, outputs)
	}
	return nil, fmt.Errorf("output.decode: unknown decoder %q", def.Output.Decode)
}

// source is an output that a decoder reads: its index, and its name and dtype at load.
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

// pick finds the output named by a key and checks its dtype.
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
		return source{}, nil, fmt.Errorf("%s: %q has the dtype %s in model.onnx; want one of %v", key, t.Name, t.DType, allowed)
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
		return nil, unusable(errors.New("an output is missing"))
	}
	t := &outputs[s.index]
	return t, t.check(s.dtype)
}

// floatsOf reads the row's numbers as float32, which lie in the tensor or in the buffer.
func (s source) floatsOf(buffer *[]float32, outputs []Tensor) (values []float32, t *Tensor, err error) {
	if t, err = s.read(outputs); err != nil {
		return nil, nil, err
	}
	values, *buffer = t.floats(*buffer)
	return values, t, nil
}

// gridOf reads a row of finite numbers, with its shape in a number of dimensions.
func (s source) gridOf(buffer *[]float32, outputs []Tensor, rank int) (values []float32, shape []int64, err error) {
	values, t, err := s.floatsOf(buffer, outputs)
	if err != nil {
		return nil, nil, err
	}
	shape = repository.Squeeze(t.Shape, rank)
	if len(shape) != rank || len(values) == 0 {
		return nil, nil, unusable(fmt.Errorf("output %q has the shape %v", t.Name, t.Shape))
	}
	if !allFinite(values) {
		return nil, nil, notFinite(t.Name)
	}
	return values, shape, nil
}

// checkClasses compares the number of classes in an output, -1 where open, with the labels.
func checkClasses(def *repository.Definition, output string, classes int64) error {
	labels, first := int64(len(def.Labels)), int64(def.Output.ClassFirst)
	switch {
	case classes < 0:
		return nil
	case classes <= first:
		return fmt.Errorf("output.class_first: model.yaml says %d, but output %q of model.onnx has %d classes", first, output, classes)
	case labels > 0 && classes-first != labels:
		left := ""
		if first > 0 {
			left = fmt.Sprintf(", of which output.class_first: %d leaves %d", first, classes-first)
		}
		return fmt.Errorf("labels: %s has %d labels, but output %q of model.onnx has %d classes%s%s",
			def.LabelsFile, labels, output, classes, left, labelsHint(def, classes-labels))
	}
	return nil
}

// labelsHint says what may be wrong if there are as many more classes than labels.
func labelsHint(def *repository.Definition, more int64) string {
	o := &def.Output
	switch {
	case more == 1 && o.ClassFirst == 0 && o.Decode == repository.DecodeDETR && o.Activation == repository.ActivationSigmoid:
		return "; if the first is unused, set output.class_first: 1; if the last is no object, set output.activation: softmax"
	case more == 1 && o.ClassFirst == 0:
		return "; if the first is background, set output.class_first: 1"
	case more == 0 && o.ClassFirst == 1:
		return "; if none is background, set output.class_first: 0"
	case more == -1 && o.ClassFirst == 0 && o.Decode == repository.DecodeDETR && o.Activation == repository.ActivationSoftmax:
		return "; if the last is an object, set output.activation: sigmoid"
	}
	return ""
}

// label returns the label of a class; empty if the model has none.
func label(labels []string, class int) string {
	if class < len(labels) {
		return labels[class]
	}
	return ""
}

// scratch is the reusable memory of a decoder for one row.
type scratch struct {
	floats, more  []float32
	rows, columns []float32 // of trial runs
	ranking       ranking
	candidates    []candidate
	picked        []int32 // the candidates that became boxes
	kept          kept
	tops          tops
	row           []float32
	grid          fieldScratch
	factors       []float32
	pixels        []byte
	contours      contours
	hull          hull
	spans         []span32
	grown         []pixel
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}
