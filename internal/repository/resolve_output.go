package repository

import (
	"fmt"
	"slices"
	"strings"

	"fovea/internal/config"
)

// Outputs are the names of the outputs that the definition's decoder reads, in no order. The definition must be resolved.
func (d *Definition) Outputs() []string {
	o := &d.Output
	return slices.DeleteFunc([]string{o.Name, o.Boxes, o.Scores, o.Classes}, func(name string) bool { return name == "" })
}

// resolveOutputs finds the outputs that the decoder reads: those that are named, or the only one that fits.
func (d *Definition) resolveOutputs(outputs []TensorInfo, errs *config.Errors) {
	o := &d.Output
	if o.Decode != DecodeBoxes && o.Name == "" {
		o.Name = d.onlyOutput(outputs, errs)
		return
	}
	for _, named := range [...]struct {
		key, name string
		allowed   []DType
	}{
		{"output.name", o.Name, ScoreTypes()}, {"output.boxes", o.Boxes, NumberTypes()},
		{"output.scores", o.Scores, ScoreTypes()}, {"output.classes", o.Classes, NumberTypes()},
	} {
		at := find(outputs, named.name)
		switch {
		case named.name == "":
		case at < 0:
			errs.Add(named.key, "model.yaml says %q, model.onnx has the outputs %s", named.name, list(outputs))
		case !slices.Contains(named.allowed, outputs[at].DType):
			errs.Add(named.key, "model.onnx gives %q the type %s; allowed: %v", named.name, outputs[at].DType, named.allowed)
		}
	}
}

// onlyOutput is the output of a file that has one, or the only one whose type and shape the decoder can read.
func (d *Definition) onlyOutput(outputs []TensorInfo, errs *config.Errors) string {
	if len(outputs) == 1 {
		if one := outputs[0]; !slices.Contains(ScoreTypes(), one.DType) {
			errs.Add("output.name", "model.onnx gives its only output, %q, the type %s; allowed: %v", one.Name, one.DType, ScoreTypes())
		}
		return outputs[0].Name
	}
	fitting := slices.DeleteFunc(slices.Clone(outputs), func(t TensorInfo) bool { return !d.fits(t) })
	switch len(fitting) {
	case 1:
		return fitting[0].Name
	case 0:
		errs.Add("output.name", "is required: none of the outputs of model.onnx, %s, has the type and shape of decode: %s",
			described(outputs), d.Output.Decode)
	default:
		errs.Add("output.name", "is required: of the outputs of model.onnx, %s fit", described(fitting))
	}
	return ""
}

// fits says whether an output may be what softmax, probabilities or yolox reads, by what the file declares of it.
func (d *Definition) fits(t TensorInfo) bool {
	if !slices.Contains(ScoreTypes(), t.DType) {
		return false
	}
	if len(t.Shape) == 0 {
		return true // unknown
	}
	rank, columns := 1, int64(d.Output.ClassFirst)
	if d.Output.Decode == DecodeYOLOX {
		rank, columns = 2, columns+YOLOXHead
	}
	row := Squeeze(t.Shape[1:], rank)
	if len(row) != rank {
		return false
	}
	width := row[rank-1]
	if len(d.Labels) > 0 {
		return width < 0 || width == columns+int64(len(d.Labels))
	}
	return width < 0 || width > columns
}

// Squeeze drops dimensions of 1 down to rank dimensions, the leading ones first, then the trailing ones.
func Squeeze(dims []int64, rank int) []int64 {
	for len(dims) > rank && dims[0] == 1 {
		dims = dims[1:]
	}
	for len(dims) > rank && dims[len(dims)-1] == 1 {
		dims = dims[:len(dims)-1]
	}
	return dims
}

// ScoreTypes are the element types of outputs that hold scores.
func ScoreTypes() []DType { return []DType{Float32, Float16, Float64} }

// NumberTypes are the element types of outputs that hold boxes or classes.
func NumberTypes() []DType {
	return append(ScoreTypes(), Int64, Int32, Int16, Int8, Uint64, Uint32, Uint16, Uint8)
}

// described lists outputs with their types and shapes.
func described(tensors []TensorInfo) string {
	texts := make([]string, len(tensors))
	for i, t := range tensors {
		texts[i] = fmt.Sprintf("%q (%s %s)", t.Name, t.DType, shape(t.Shape))
	}
	return strings.Join(texts, ", ")
}
