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
	if image := d.resolveImage(inputs, &errs); image != nil {
		if h, w, ok := d.resolveChannels(*image, &errs); ok {
			d.Input.Width = side(&errs, "input.width", d.Input.Width, w)
			d.Input.Height = side(&errs, "input.height", d.Input.Height, h)
		}
		d.resolveDType(*image, &errs)
		d.resolveBatch(*image, &errs)
	}
	d.resolveExtra(inputs, &errs)
	d.resolveOutputs(outputs, &errs)
	if len(errs) == 0 {
		errs = d.check() // in combination with the values from the file
	}
	return d, errs.Err()
}

// resolveImage finds the image input: the named one, or the only one that is not an extra.
func (d *Definition) resolveImage(inputs []TensorInfo, errs *config.Errors) *TensorInfo {
	if d.Input.Name != "" {
		if i := find(inputs, d.Input.Name); i >= 0 {
			return &inputs[i]
		}
		errs.Add("input.name", "model.yaml says %q, model.onnx has the inputs %s", d.Input.Name, list(inputs))
		return nil
	}
	images := slices.DeleteFunc(slices.Clone(inputs), func(t TensorInfo) bool { return d.isExtra(t.Name) })
	switch len(images) {
	case 0:
		errs.Add("input.name", "model.onnx has the inputs %s, and none is left for the image", list(inputs))
		return nil
	case 1:
		d.Input.Name = images[0].Name
		return &images[0]
	}
	errs.Add("input.name", "is required: model.onnx has the inputs %s", list(inputs))
	return nil
}

func (d *Definition) isExtra(name string) bool {
	return slices.ContainsFunc(d.Input.Extra, func(e Extra) bool { return e.Name == name })
}

// resolveChannels finds the layout and the color, and returns height and width, -1 where open.
func (d *Definition) resolveChannels(image TensorInfo, errs *config.Errors) (h, w int64, ok bool) {
	in, dims := &d.Input, image.Shape
	if len(dims) == 3 && in.Color == ColorGray { // without a dimension of channels
		in.Layout = cmp.Or(in.Layout, "nchw") // the same in memory
		return dims[1], dims[2], true
	}
	if len(dims) != 4 {
		errs.Add("input", "model.onnx gives %q the shape %s; allowed: four dimensions, [N,channels,height,width] or "+
			"[N,height,width,channels], with 3 channels or 1, or [N,height,width] with color: gray", image.Name, shape(dims))
		return 0, 0, false
	}
	c, h, w := dims[1], dims[2], dims[3]
	if seen := layoutOf(dims); in.Layout != "" && in.Layout != seen && c != w && c != -1 && w != -1 {
		errs.Add("input.layout", "model.yaml says %s; %q of model.onnx has the shape %s, which is %s", in.Layout, image.Name, shape(dims), seen)
		return 0, 0, false
	}
	in.Layout = cmp.Or(in.Layout, layoutOf(dims))
	if in.Layout == "nhwc" {
		h, w, c = c, h, w
	}
	switch c {
	case 1:
		in.Color = cmp.Or(in.Color, ColorGray)
	case 4:
		in.Color = cmp.Or(in.Color, ColorRGBA)
	}
	in.Color = cmp.Or(in.Color, ColorRGB)
	return h, w, in.checkChannels(image, c, errs)
}

// checkChannels compares the number of channels in the file, -1 where open, with the color.
func (in *Input) checkChannels(image TensorInfo, c int64, errs *config.Errors) bool {
	want := int64(in.Channels())
	switch c {
	case want, -1:
		return true
	case 1, 3, 4:
		has, allowed := fmt.Sprintf("%d channels", want), map[int64]string{1: ColorGray, 3: "rgb, bgr", 4: "rgba, bgra"}[c]
		if want == 1 {
			has = "1 channel"
		}
		errs.Add("input.color", "%s has %s; %q of model.onnx takes %d, its shape being %s (layout %s); allowed with %d: %s",
			in.Color, has, image.Name, c, shape(image.Shape), in.Layout, c, allowed)
	default:
		errs.Add("input", "%q of model.onnx takes %d channels, its shape being %s (layout %s); allowed: 3 (color: rgb, bgr), 4 (rgba, bgra) or 1 (gray)",
			image.Name, c, shape(image.Shape), in.Layout)
	}
	return false
}

// layoutOf derives the layout from the dimension that is 3, or 1 if none is. If both or neither are, channels come first unless
// the last dimension is smaller.
func layoutOf(dims []int64) string {
	first, last := dims[1], dims[3]
	for _, channels := range [...]int64{3, 1, 4} {
		switch {
		case first == channels:
			return "nchw"
		case last == channels:
			return "nhwc"
		}
	}
	if last > 0 && first > last {
		return "nhwc"
	}
	return "nchw"
}

func side(errs *config.Errors, key string, given int, file int64) int {
	switch {
	case file < 1 && given == 0:
		errs.Add(key, "is required: model.onnx leaves it open")
	case file > maxSide:
		errs.Add(key, "model.onnx says %d, which is out of range (1–%d)", file, maxSide)
	case file > 0 && given == 0:
		return int(file)
	case file > 0 && int64(given) != file:
		errs.Add(key, "model.yaml says %d, model.onnx says %d", given, file)
	}
	return given
}

func (d *Definition) resolveDType(image TensorInfo, errs *config.Errors) {
	switch {
	case d.Input.DType == "" && !slices.Contains([]DType{Float32, Float16, Uint8}, image.DType):
		errs.Add("input.dtype", "model.onnx says %s; allowed: float32, float16, uint8", image.DType)
	case d.Input.DType == "":
		d.Input.DType = image.DType
	case d.Input.DType != image.DType:
		errs.Add("input.dtype", "model.yaml says %s, model.onnx says %s", d.Input.DType, image.DType)
	}
}

// resolveBatch applies a fixed batch size of the file.
func (d *Definition) resolveBatch(image TensorInfo, errs *config.Errors) {
	if len(image.Shape) == 0 || image.Shape[0] < 1 {
		return
	}
	fixed := image.Shape[0]
	switch {
	case fixed > maxBatch:
		errs.Add("batching.max_size", "model.onnx fixes the batch at %d; the limit is %d", fixed, maxBatch)
	case d.Batching.MaxSize == 0:
		d.Batching.MaxSize = int(fixed)
	case int64(d.Batching.MaxSize) > fixed:
		errs.Add("batching.max_size", "model.yaml says %d, model.onnx fixes the batch at %d", d.Batching.MaxSize, fixed)
	}
}

// resolveExtra compares the extras with the file: each must exist, and every input must be given.
func (d *Definition) resolveExtra(inputs []TensorInfo, errs *config.Errors) {
	for i, extra := range d.Input.Extra {
		key := config.Index("input.extra", i)
		at := find(inputs, extra.Name)
		if at < 0 {
			errs.Add(key+".name", "model.yaml says %q, model.onnx has the inputs %s", extra.Name, list(inputs))
			continue
		}
		in := inputs[at]
		if len(in.Shape) != 2 || in.Shape[1] != 2 && in.Shape[1] != -1 {
			errs.Add(key, "model.onnx gives %q the shape %s; allowed: [N,2]", in.Name, shape(in.Shape))
		}
		if !slices.Contains([]DType{Int64, Int32, Float32}, in.DType) {
			errs.Add(key, "model.onnx gives %q the dtype %s; allowed: int64, int32, float32", in.Name, in.DType)
		}
	}
	for _, in := range inputs {
		if d.Input.Name != "" && in.Name != d.Input.Name && !d.isExtra(in.Name) {
			errs.Add("input.extra", "model.onnx has an input %q that model.yaml does not feed", in.Name)
		}
	}
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
	return join(tensors, ", ", func(t TensorInfo) string { return fmt.Sprintf("%q (%s %s)", t.Name, t.DType, shape(t.Shape)) })
}

// shape formats a shape as [1,3,224,224], with ? for open sizes.
func shape(dims []int64) string {
	return "[" + join(dims, ",", func(d int64) string {
		if d < 0 {
			return "?"
		}
		return strconv.FormatInt(d, 10)
	}) + "]"
}

// Outputs lists the outputs that the decoder of a resolved definition reads, in no order.
func (d *Definition) Outputs() []string {
	o := &d.Output
	return slices.DeleteFunc(append([]string{o.Name, o.Boxes, o.Scores, o.Classes}, o.Names...), func(name string) bool { return name == "" })
}

// resolveOutputs finds the outputs that the decoder reads: the named ones, or the only one that matches.
func (d *Definition) resolveOutputs(outputs []TensorInfo, errs *config.Errors) {
	o := &d.Output
	switch {
	case o.Decode == DecodeYOLOv5Raw && len(o.Names) == 0:
		o.Names = d.grids(outputs, errs)
		return
	case !slices.Contains([]string{DecodeBoxes, DecodeDETR, DecodeYOLOv5Raw}, o.Decode) && o.Name == "":
		o.Name = d.onlyOutput(outputs, errs)
	}
	type output struct {
		key, name string
		allowed   []DType
	}
	read := []output{
		{"output.name", o.Name, ScoreTypes()}, {"output.boxes", o.Boxes, NumberTypes()},
		{"output.scores", o.Scores, ScoreTypes()}, {"output.classes", o.Classes, NumberTypes()},
	}
	for i, name := range o.Names {
		read = append(read, output{config.Index("output.names", i), name, ScoreTypes()})
	}
	for _, named := range read {
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
		if one := outputs[0]; !slices.Contains(ScoreTypes(), one.DType) {
			errs.Add("output.name", "model.onnx gives its only output, %q, the type %s; allowed: %v", one.Name, one.DType, ScoreTypes())
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

// matches reports whether softmax, probabilities or yolox can read an output, by its declared type and shape.
func (d *Definition) matches(t TensorInfo) bool {
	if !slices.Contains(ScoreTypes(), t.DType) {
		return false
	}
	if len(t.Shape) == 0 {
		return true // unknown
	}
	o := &d.Output
	rank := 2
	if d.Task == Classification {
		rank = 1
	}
	row := Squeeze(t.Shape[1:], rank)
	if o.Decode == DecodeRows && len(t.Shape) == 2 { // [n,6] or [n,7], without a batch dimension
		row = t.Shape
	}
	if len(row) != rank {
		return false
	}
	head := map[string]int64{DecodeYOLO: 4, DecodeYOLOv5: YOLOXHead, DecodeYOLOX: YOLOXHead}[o.Decode] + int64(o.ClassFirst)
	fits := func(width int64) bool {
		switch {
		case o.Decode == DecodeRows:
			return width < 0 || width == int64(len(o.Columns))
		case len(d.Labels) > 0:
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

// NumberTypes returns the element types of outputs that hold boxes or classes.
func NumberTypes() []DType {
	return append(ScoreTypes(), Int64, Int32, Int16, Int8, Uint64, Uint32, Uint16, Uint8)
}
