package repository

import (
	"cmp"
	"fmt"
	"slices"

	"fovea/internal/config"
)

// resolveImage finds the image input: the named one, the only one that is not an extra, or the only one of an image's type and
// shape.
func (d *Definition) resolveImage(inputs []TensorInfo, errs *config.Errors) *TensorInfo {
	if d.Input.Name != "" {
		if i := find(inputs, d.Input.Name); i >= 0 {
			return &inputs[i]
		}
		errs.Add("input.name", "model.yaml says %q, model.onnx has the inputs %s", d.Input.Name, list(inputs))
		return nil
	}
	images := slices.DeleteFunc(slices.Clone(inputs), func(t TensorInfo) bool { return d.isExtra(t.Name) })
	if len(images) > 1 {
		images = slices.DeleteFunc(images, func(t TensorInfo) bool { return !isImage(t) })
	}
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

// isImage reports whether an input has the type and shape of an image.
func isImage(t TensorInfo) bool {
	return slices.Contains(imageTypes(), t.DType) && (len(t.Shape) == 4 || len(t.Shape) == 3)
}

// imageTypes are the element types of image inputs.
func imageTypes() []DType { return []DType{Float32, Float16, Uint8} }

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
	if in.isUnbatched(dims) {
		dims = append([]int64{1}, dims...)
	}
	if len(dims) != 4 {
		errs.Add("input", "model.onnx gives %q the shape %s; allowed: four dimensions, [N,channels,height,width] or "+
			"[N,height,width,channels], with 3 channels, 1 or 4, the same three without N, or [N,height,width] with color: gray",
			image.Name, FormatShape(dims))
		return 0, 0, false
	}
	c, h, w := dims[1], dims[2], dims[3]
	if seen := layoutOf(dims); in.Layout != "" && in.Layout != seen && c != w && c != -1 && w != -1 {
		errs.Add("input.layout", "model.yaml says %s; %q of model.onnx has the shape %s, which is %s", in.Layout, image.Name, FormatShape(image.Shape), seen)
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

// isUnbatched reports whether a shape is that of one image in color, without a batch dimension, as in torchvision's exports of
// detectors: three dimensions of which the first or the last is that of the channels.
func (in *Input) isUnbatched(dims []int64) bool {
	if len(dims) != 3 || in.Color == ColorGray {
		return false
	}
	isChannels := func(n int64) bool { return n == 3 || n == 4 || n == -1 && in.Color != "" }
	return in.Layout != "nhwc" && isChannels(dims[0]) || in.Layout != "nchw" && isChannels(dims[2])
}

// withBatch adds the batch dimension to outputs of a file that has none.
func withBatch(outputs []TensorInfo) []TensorInfo {
	list := slices.Clone(outputs)
	for i := range list {
		if len(list[i].Shape) > 0 {
			list[i].Shape = append([]int64{1}, list[i].Shape...)
		}
	}
	return list
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
			in.Color, has, image.Name, c, FormatShape(image.Shape), in.Layout, c, allowed)
	default:
		errs.Add("input", "%q of model.onnx takes %d channels, its shape being %s (layout %s); allowed: 3 (color: rgb, bgr), 4 (rgba, bgra) or 1 (gray)",
			image.Name, c, FormatShape(image.Shape), in.Layout)
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

// resolveSize compares width and height with the file, -1 where open. With Dynamic they are limits, and the file must leave
// both open.
func (d *Definition) resolveSize(image TensorInfo, h, w int64, errs *config.Errors) {
	in := &d.Input
	if !in.Dynamic() {
		in.Width = side(errs, "input.width", in.Width, w)
		in.Height = side(errs, "input.height", in.Height, h)
		return
	}
	if in.Resize == FitHeight {
		in.Height = side(errs, "input.height", in.Height, h)
		if w > 0 {
			errs.Add("input.min_width", "needs an open width; model.onnx gives %q the shape %s", image.Name, FormatShape(image.Shape))
		}
		return
	}
	if h > 0 || w > 0 {
		key, setting := "input.resize", string(in.Resize)
		if in.Resize == Letterbox {
			key, setting = "input.stride", "a letterbox with a stride"
		}
		errs.Add(key, "%s needs open height and width; model.onnx gives %q the shape %s", setting, image.Name, FormatShape(image.Shape))
	}
	if in.Resize == Letterbox {
		in.Width = side(errs, "input.width", in.Width, -1)
		in.Height = side(errs, "input.height", in.Height, -1)
	}
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
	case d.Input.DType == "" && !slices.Contains(imageTypes(), image.DType):
		errs.Add("input.dtype", "model.onnx says %s; allowed: float32, float16, uint8", image.DType)
	case d.Input.DType == "":
		d.Input.DType = image.DType
	case d.Input.DType != image.DType:
		errs.Add("input.dtype", "model.yaml says %s, model.onnx says %s", d.Input.DType, image.DType)
	}
}

// resolveBatch applies the batch size that the file fixes, in any input, or that the definition needs.
func (d *Definition) resolveBatch(image TensorInfo, inputs []TensorInfo, errs *config.Errors) {
	fixed, why := int64(0), ""
	for _, in := range inputs {
		n, unbatched := int64(0), in.Name == image.Name && d.Input.isUnbatched(in.Shape) || d.isExtra(in.Name) && len(in.Shape) == 1
		switch {
		case unbatched:
			n = 1
		case len(in.Shape) > 0:
			n = in.Shape[0]
		}
		if n > 0 && (fixed == 0 || n < fixed) {
			fixed, why = n, fmt.Sprintf("model.onnx fixes the batch at %d", n)
		}
		if unbatched {
			why = fmt.Sprintf("%q of model.onnx has no batch dimension, so batches are of 1", in.Name)
		}
	}
	if d.Input.Dynamic() && fixed <= 1 {
		fixed, why = 1, fmt.Sprintf("with resize: %s and an open size batches are of 1, since images differ in size", d.Input.Resize)
	}
	switch {
	case fixed < 1:
	case fixed > maxBatch:
		errs.Add("batching.max_size", "model.onnx fixes the batch at %d; the limit is %d", fixed, maxBatch)
	case fixed > 1 && d.Input.Dynamic():
		errs.Add("input.resize", "model.onnx fixes the batch at %d, and images of an open size cannot share a batch", fixed)
	case d.Batching.MaxSize == 0:
		d.Batching.MaxSize = int(fixed)
	case int64(d.Batching.MaxSize) > fixed:
		errs.Add("batching.max_size", "model.yaml says %d, %s", d.Batching.MaxSize, why)
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
		if allowed := extra.misshaped(in.Shape); allowed != "" {
			errs.Add(key, "model.onnx gives %q the shape %s; allowed with %s: %s", in.Name, FormatShape(in.Shape), extra.Value, allowed)
		}
		if !slices.Contains(extra.types(), in.DType) {
			errs.Add(key, "model.onnx gives %q the dtype %s; allowed with %s: %s", in.Name, in.DType, extra.Value,
				join(extra.types(), ", ", func(t DType) string { return string(t) }))
		}
	}
	for _, in := range inputs {
		if d.Input.Name != "" && in.Name != d.Input.Name && !d.isExtra(in.Name) {
			errs.Add("input.extra", "model.onnx has an input %q that model.yaml does not feed", in.Name)
		}
	}
}

// misshaped returns the shapes that an input with the value may have, if it has another one.
func (e Extra) misshaped(shape []int64) (allowed string) {
	last := len(shape) - 1
	switch {
	case e.Value == PixelMask && last != 2:
		return "[N,height,width]"
	case e.Value != PixelMask && (last < 0 || last > 1 || shape[last] != 2 && shape[last] != -1):
		return "[N,2] and [2]"
	}
	return ""
}

// types are the element types of an input that holds the value.
func (e Extra) types() []DType {
	if e.Value == ScaleFactorWH || e.Value == ScaleFactorHW {
		return []DType{Float32}
	}
	return []DType{Int64, Int32, Float32}
}
