package repository

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/config"
)

// Resolve completes the definition from the ONNX file (the image input's name, width, height, color, dtype and layout, the
// output's name, and a fixed batch size). The error joins all contradictions between the two, each with both sides. inputs and
// outputs are those of the file, with the batch dimension. The result's Input has its Width, Height, Color, DType, Layout and
// Name.
func (d Definition) Resolve(inputs, outputs []TensorInfo) (Definition, error) {
	var errs config.Errors
	if d.Task == NoTask {
		return d, nil
	}
	if image := d.resolveImage(inputs, &errs); image != nil {
		if h, w, ok := d.resolveChannels(*image, &errs); ok {
			d.resolveSize(*image, h, w, &errs)
		}
		d.resolveDType(*image, &errs)
		d.resolveBatch(*image, inputs, &errs)
		if d.Input.isUnbatched(image.Shape) {
			outputs = withBatch(outputs)
		}
	}
	d.resolveExtra(inputs, &errs)
	d.resolveOutputs(outputs, &errs)
	if len(errs) == 0 {
		errs = d.check() // in combination with the values from the file
	}
	return d, errs.Err()
}

func find(tensors []TensorInfo, name string) int {
	return slices.IndexFunc(tensors, func(t TensorInfo) bool { return t.Name == name })
}

// join formats the elements of a list.
func join[T any](list []T, separator string, format func(T) string) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = format(v)
	}
	return strings.Join(texts, separator)
}

func list(tensors []TensorInfo) string {
	return cmp.Or(join(tensors, ", ", func(t TensorInfo) string { return strconv.Quote(t.Name) }), "(none)")
}

// described lists outputs with their types and shapes.
func described(tensors []TensorInfo) string {
	return join(tensors, ", ", func(t TensorInfo) string { return fmt.Sprintf("%q (%s %s)", t.Name, t.DType, FormatShape(t.Shape)) })
}

// FormatShape formats a shape as [1,3,224,224], with ? for open sizes.
func FormatShape(dims []int64) string {
	return "[" + join(dims, ",", func(d int64) string {
		if d < 0 {
			return "?"
		}
		return strconv.FormatInt(d, 10)
	}) + "]"
}

// Outputs lists the outputs that the decoder of a resolved definition reads, in no order.
func (d *Definition) Outputs() []string {
	list := d.Output.named()
	names := make([]string, len(list))
	for i, named := range list {
		names[i] = named.name
	}
	return names
}

// named lists the outputs that a definition names.
func (o *Output) named() []namedOutput {
	list := append([]namedOutput{
		{"output.name", o.Name, o.nameTypes()}, {"output.boxes", o.Boxes, NumberTypes()},
		{"output.scores", o.Scores, ScoreTypes()}, {"output.classes", o.Classes, NumberTypes()},
	}, o.taskOutputs()...)
	for i, name := range o.Names {
		list = append(list, namedOutput{config.Index("output.names", i), name, ScoreTypes()})
	}
	return slices.DeleteFunc(list, func(named namedOutput) bool { return named.name == "" })
}

// resolveOutputs finds the outputs that the decoder reads: the named ones, or the only one that matches.
func (d *Definition) resolveOutputs(outputs []TensorInfo, errs *config.Errors) {
	o := &d.Output
	switch {
	case o.Decode == DecodeYOLOv5Raw && len(o.Names) == 0:
		o.Names = d.grids(outputs, errs)
		return
	case o.Decode == DecodeYuNet && len(o.Names) == 0:
		o.Names = d.yunetOutputs(outputs, errs)
	case !slices.Contains([]string{DecodeBoxes, DecodeDETR, DecodeYOLOv5Raw, DecodeYuNet}, o.Decode) && o.Name == "":
		o.Name = d.onlyOutput(outputs, errs)
	}
	for _, named := range o.named() {
		at := find(outputs, named.name)
		switch {
		case at < 0:
			errs.Add(named.key, "model.yaml says %q, model.onnx has the outputs %s", named.name, list(outputs))
		case !slices.Contains(named.allowed, outputs[at].DType):
			errs.Add(named.key, "model.onnx gives %q the type %s; allowed: %v%s", named.name, outputs[at].DType, named.allowed, withoutZipMap(outputs[at].DType))
		}
	}
}

// withoutZipMap says how to export a classifier whose output is of a type that the operator ZipMap makes.
func withoutZipMap(dtype DType) string {
	if dtype != "sequence" && dtype != "map" {
		return ""
	}
	return "; if it is a classifier that ends with ZipMap, export it without (skl2onnx: options={'zipmap': False})"
}

// grids returns the outputs of yolov5_raw in the order of the strides: those of four or five dimensions, the largest grid first.
func (d *Definition) grids(outputs []TensorInfo, errs *config.Errors) []string {
	fits := slices.DeleteFunc(slices.Clone(outputs), func(t TensorInfo) bool {
		return !slices.Contains(ScoreTypes(), t.DType) || len(t.Shape) < 4 || len(t.Shape) > 5
	})
	if len(fits) != len(d.Output.Strides) {
		errs.Add("output.names", "is required: of the outputs of model.onnx, %s, %d fit decode: yolov5_raw with %d strides",
			described(outputs), len(fits), len(d.Output.Strides))
		return nil
	}
	size := func(t TensorInfo) (n int64) {
		for _, side := range t.Shape[1:] {
			n = max(n, 1) * side
		}
		return n
	}
	slices.SortStableFunc(fits, func(a, b TensorInfo) int { return cmp.Compare(size(b), size(a)) })
	names := make([]string, len(fits))
	for i, t := range fits {
		names[i] = t.Name
	}
	return names
}

// onlyOutput returns the only output of a file, or the only one whose type and shape the decoder can read.
func (d *Definition) onlyOutput(outputs []TensorInfo, errs *config.Errors) string {
	if len(outputs) == 1 {
		if one := outputs[0]; !slices.Contains(d.Output.nameTypes(), one.DType) {
			errs.Add("output.name", "model.onnx gives its only output, %q, the type %s; allowed: %v%s", one.Name, one.DType, d.Output.nameTypes(), withoutZipMap(one.DType))
		}
		return outputs[0].Name
	}
	matching := slices.DeleteFunc(slices.Clone(outputs), func(t TensorInfo) bool { return !d.matches(t) })
	switch len(matching) {
	case 1:
		return matching[0].Name
	case 0:
		errs.Add("output.name", "is required: none of the outputs of model.onnx, %s, has the type and shape of decode: %s",
			described(outputs), d.Output.Decode)
	default:
		errs.Add("output.name", "is required: of the outputs of model.onnx, %s fit", described(matching))
	}
	return ""
}

// matches reports whether a decoder of one output can read it, by its declared type and shape.
func (d *Definition) matches(t TensorInfo) bool {
	if !slices.Contains(d.Output.nameTypes(), t.DType) || t.Name == d.Output.Mask.Masks {
		return false
	}
	o := &d.Output
	if len(t.Shape) == 0 || o.Decode == DecodeDB && len(t.Shape) == 4 { // unknown, or of an unknown number of maps
		return true
	}
	rank := d.rank()
	row := Squeeze(t.Shape[1:], rank)
	if o.Decode == DecodeRows && len(t.Shape) == 2 { // [n,6] or [n,7], without a batch dimension
		row = t.Shape
	}
	if len(row) != rank || isDense(o.Decode) {
		return len(row) == rank
	}
	extra := d.Task != Classification && d.Task != Detection // after the classes there is more
	head := map[string]int64{DecodeYOLO: 4, DecodeYOLOv5: YOLOXHead, DecodeYOLOX: YOLOXHead}[o.Decode] + int64(o.ClassFirst)
	fits := func(width int64) bool {
		switch {
		case o.Decode == DecodeRows:
			return width < 0 || width == int64(len(o.Columns)) || extra && width > int64(len(o.Columns))
		case !extra && len(d.Labels) > 0:
			return width < 0 || width == head+int64(len(d.Labels))
		}
		return width < 0 || width > head
	}
	return fits(row[rank-1]) || o.Decode == DecodeYOLO && fits(row[0]) // which YOLO turns over
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

// ScoreTypes returns the element types of outputs that hold scores.
func ScoreTypes() []DType { return []DType{Float32, Float16, Float64} }

// MaskTypes returns the element types of outputs that say of each pixel which class it has, or whether it belongs to something.
func MaskTypes() []DType { return append(NumberTypes(), Bool) }

// NumberTypes returns the element types of outputs that hold boxes or classes.
func NumberTypes() []DType {
	return append(ScoreTypes(), Int64, Int32, Int16, Int8, Uint64, Uint32, Uint16, Uint8)
}
