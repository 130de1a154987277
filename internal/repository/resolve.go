package repository

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fovea/internal/config"
)

// Resolve fills in what the definition leaves to the ONNX file (the image input's name, width, height, color, dtype
// and layout, the output's name, and the batch size where the file fixes it) and reports everything in which the
// two contradict each other, joined, naming both sides. inputs and outputs are what the file says, with the
// batch dimension. The result is complete: Width, Height, Color, DType, Layout and Name of its Input are set.
func (d Definition) Resolve(inputs, outputs []TensorInfo) (Definition, error) {
	var errs config.Errors
	if image := d.resolveImage(inputs, &errs); image != nil {
		d.resolveShape(*image, &errs)
		d.resolveDType(*image, &errs)
		d.resolveBatch(*image, &errs)
	}
	d.resolveExtra(inputs, &errs)
	d.resolveOutputs(outputs, &errs)
	if len(errs) == 0 {
		errs = d.check() // combinations with the values that came from the file
	}
	return d, errs.Err()
}

// resolveImage finds the image input: the one that is named, or the only one that is no extra.
func (d *Definition) resolveImage(inputs []TensorInfo, errs *config.Errors) *TensorInfo {
	if d.Input.Name != "" {
		if i := find(inputs, d.Input.Name); i >= 0 {
			return &inputs[i]
		}
		errs.Add("input.name", "model.yaml says %q, model.onnx has the inputs %s", d.Input.Name, list(inputs))
		return nil
	}
	var image *TensorInfo
	for i := range inputs {
		if d.isExtra(inputs[i].Name) {
			continue
		}
		if image != nil {
			errs.Add("input.name", "is required: model.onnx has the inputs %s", list(inputs))
			return nil
		}
		image = &inputs[i]
	}
	if image == nil {
		errs.Add("input.name", "model.onnx has the inputs %s, and none is left for the image", list(inputs))
		return nil
	}
	d.Input.Name = image.Name
	return image
}

func (d *Definition) isExtra(name string) bool {
	return slices.ContainsFunc(d.Input.Extra, func(e Extra) bool { return e.Name == name })
}

func (d *Definition) resolveShape(image TensorInfo, errs *config.Errors) {
	h, w, ok := d.resolveChannels(image, errs)
	if ok {
		d.Input.Width = side(errs, "input.width", d.Input.Width, w)
		d.Input.Height = side(errs, "input.height", d.Input.Height, h)
	}
}

// resolveChannels finds where the channels are and how many, and what is left: the height and the width, -1 where open.
func (d *Definition) resolveChannels(image TensorInfo, errs *config.Errors) (h, w int64, ok bool) {
	in, dims := &d.Input, image.Shape
	if len(dims) == 3 && in.Color == ColorGray { // without a dimension for the one channel
		in.Layout = cmp.Or(in.Layout, "nchw") // which is the same then
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
	if in.Color == "" && c == 1 {
		in.Color = ColorGray
	} else if in.Color == "" {
		in.Color = ColorRGB
	}
	return h, w, in.checkChannels(image, c, errs)
}

// checkChannels holds the number of channels of the file, -1 where open, against the color.
func (in *Input) checkChannels(image TensorInfo, c int64, errs *config.Errors) bool {
	want := int64(in.Channels())
	switch c {
	case want, -1:
		return true
	case 1, 3:
		has, allowed := "1 channel", "rgb, bgr"
		if c == 1 {
			has, allowed = "3 channels", ColorGray
		}
		errs.Add("input.color", "%s has %s; %q of model.onnx takes %d, its shape being %s (layout %s); allowed with %d: %s",
			in.Color, has, image.Name, c, shape(image.Shape), in.Layout, c, allowed)
	default:
		errs.Add("input", "%q of model.onnx takes %d channels, its shape being %s (layout %s); allowed: 3 (color: rgb, bgr) or 1 (color: gray)",
			image.Name, c, shape(image.Shape), in.Layout)
	}
	return false
}

// layoutOf reads the layout off the dimension that is 3, or 1 where none is; where both or none are, the channels are
// the first, unless the last is the smaller one.
func layoutOf(dims []int64) string {
	first, last := dims[1], dims[3]
	for _, channels := range [...]int64{3, 1} {
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
		errs.Add(key, "model.onnx says %d; allowed: 1 to %d", file, maxSide)
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

// resolveBatch bounds the batch where the file fixes its size.
func (d *Definition) resolveBatch(image TensorInfo, errs *config.Errors) {
	if len(image.Shape) == 0 || image.Shape[0] < 1 {
		return
	}
	fixed := image.Shape[0]
	switch {
	case fixed > maxBatch:
		errs.Add("batching.max_size", "model.onnx fixes the batch at %d; allowed: %d", fixed, maxBatch)
	case d.Batching.MaxSize == 0:
		d.Batching.MaxSize = int(fixed)
	case int64(d.Batching.MaxSize) > fixed:
		errs.Add("batching.max_size", "model.yaml says %d, model.onnx fixes the batch at %d", d.Batching.MaxSize, fixed)
	}
}

// resolveExtra holds the extras against the file: each must be there, and every input must be fed.
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

func list(tensors []TensorInfo) string {
	if len(tensors) == 0 {
		return "(none)"
	}
	names := make([]string, len(tensors))
	for i, t := range tensors {
		names[i] = fmt.Sprintf("%q", t.Name)
	}
	return strings.Join(names, ", ")
}

// shape writes a shape as [N,3,224,224], with ? for what is open.
func shape(dims []int64) string {
	texts := make([]string, len(dims))
	for i, d := range dims {
		texts[i] = fmt.Sprint(d)
		if d < 0 {
			texts[i] = "?"
		}
	}
	return "[" + strings.Join(texts, ",") + "]"
}
