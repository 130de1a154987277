package exporter

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
)

// findImage finds the image input: the one of three or four dimensions with a channel dimension.
func (b *builder) findImage() error {
	var fits []repository.TensorInfo
	for _, t := range b.graph.Inputs {
		if name := strings.Trim(b.settings["input.name"], `"`); name != "" && t.Name != name {
			continue
		}
		if slices.Contains([]repository.DType{repository.Float32, repository.Float16, repository.Uint8}, t.DType) && (len(t.Shape) == 4 || len(t.Shape) == 3) {
			fits = append(fits, t)
		}
	}
	isBatch := func(t repository.TensorInfo) bool { return len(t.Shape) == 4 }
	if slices.ContainsFunc(fits, isBatch) { // others of three dimensions may be masks
		fits = slices.DeleteFunc(fits, func(t repository.TensorInfo) bool { return !isBatch(t) })
	}
	if len(fits) != 1 {
		if len(fits) > 1 {
			return &repository.UnknownError{Questions: []repository.Question{{Key: "input.name", Reason: "several inputs may be the image", Candidates: tensorNames(fits)}}}
		}
		return fmt.Errorf("none of the inputs is an image of three or four dimensions: %s; write a model.yaml", describeAll(b.graph.Inputs))
	}
	b.image = fits[0]
	dims := b.image.Shape
	if len(dims) == 4 {
		dims = dims[1:]
	}
	b.channelsLast = isChannels(dims[2]) && !isChannels(dims[0]) || b.settings["input.layout"] == "nhwc"
	b.channels, b.height, b.width = dims[0], dims[1], dims[2]
	if b.channelsLast {
		b.height, b.width, b.channels = dims[0], dims[1], dims[2]
	}
	if len(b.graph.Inputs) > 1 {
		b.say("input.name", b.image.Name, "the only input with the shape of an image")
	}
	return nil
}

func isChannels(n int64) bool { return n == 1 || n == 3 || n == 4 }

func tensorNames(list []repository.TensorInfo) (names []string) {
	for _, t := range list {
		names = append(names, t.Name)
	}
	return names
}

// isOpen reports whether the file leaves the input's size open.
func (b *builder) isOpen() bool { return b.height < 1 || b.width < 1 }

// staysOpen reports whether neither the file nor the user says the input's size.
func (b *builder) staysOpen() bool { return b.isOpen() && b.settings["input.width"] == "" }

// fixedSize sets the width and height of an input that the file leaves open to what another place says, or asks for it.
func (b *builder) fixedSize(width, height int64, from string) {
	if !b.isOpen() {
		return
	}
	if (width < 1 || height < 1) && b.tritonWidth > 0 {
		width, height, from = b.tritonWidth, b.tritonHeight, tritonFile
	}
	if width > 0 && height > 0 {
		b.say("input.width", width, from)
		b.say("input.height", height, from)
		return
	}
	b.ask("input.width", "model.onnx leaves the size of the input open", "224", "640")
	b.ask("input.height", "model.onnx leaves the size of the input open", "224", "640")
}

// usualSize is fixedSize for a square that is usual, unless config.pbtxt says another size.
func (b *builder) usualSize(side int64, why string) {
	if b.tritonWidth > 0 {
		b.fixedSize(0, 0, "")
		return
	}
	b.assumed(func() { b.fixedSize(side, side, why) })
}

// size returns the input's size after settings; 0 if it is open.
func (b *builder) size() (width, height int64) {
	number := func(key string, file int64) int64 {
		n, _ := strconv.ParseInt(cmp.Or(b.settings[key], b.values[key].text), 10, 64)
		return cmp.Or(n, max(file, 0))
	}
	return number("input.width", b.width), number("input.height", b.height)
}

// letterbox is the preprocessing of Ultralytics and YOLOv5: LetterBox and cv2.resize with INTER_LINEAR, gray 114 around.
func (b *builder) letterbox(from string, stride int64) {
	b.say("input.resize", string(repository.Letterbox), from)
	if stride > 0 && b.staysOpen() {
		b.say("input.stride", stride, from)
	}
	b.say("input.place", "center", from)
	b.say("input.fill", []float64{114}, from)
	b.say("input.interpolation", repository.OpenCVLinear, from)
	b.color(from)
	b.unit(from)
}

// color sets the order of channels that most exporters use.
func (b *builder) color(from string) {
	if b.channels == 3 || b.channels < 1 {
		b.say("input.color", repository.ColorRGB, from)
	}
}

// unit scales pixels to 0 to 1, unless the input takes them as they are.
func (b *builder) unit(from string) {
	if b.image.DType != repository.Uint8 {
		b.say("input.scale", 1.0/255, from)
	}
}

// assumed lets the values that set adds count as assumed.
func (b *builder) assumed(set func()) {
	before := map[string]bool{}
	for key := range b.values {
		before[key] = true
	}
	set()
	for key, v := range b.values {
		if !before[key] {
			v.assumed = true
			b.values[key] = v
		}
	}
}

// stem returns by what the graph multiplies the image before its first layer, what it subtracts from or adds to the image's own values
// first, and the operators that do so. The factor and the shift are averages of the channels, 0 if they are not known.
func (b *builder) stem() (factor, shift float64, ops []string) {
	factor = 1
	for _, step := range b.graph.Stems[b.image.Name] {
		switch step.Op {
		case "Sub", "Add", "Div", "Mul":
		case "BatchNormalization", "InstanceNormalization", "LayerNormalization":
			return 0, 0, append(ops, step.Op)
		default:
			continue
		}
		ops = append(ops, step.Op)
		magnitude := 0.0
		for _, v := range step.Values {
			magnitude += math.Abs(v) / float64(len(step.Values))
		}
		shifts := step.Op == "Sub" || step.Op == "Add"
		switch {
		case shifts && shift == 0 && factor > 0:
			shift = magnitude / factor
		case shifts:
		case magnitude == 0:
			factor = 0
		case step.Op == "Div":
			factor /= magnitude
		default:
			factor *= magnitude
		}
	}
	return factor, shift, ops
}

// leastMean is the least mean of values from 0 to 255 that a graph subtracts: the usual ones are 104 to 128.
const leastMean = 50

// normalizedInside sets the scale of a model whose graph normalizes its input, and reports whether it does. The mean that is
// subtracted, about 0.5 or 125, tells whether the graph starts from values of 0 to 1 or of 0 to 255. So does the factor, if there
// is no mean: networks take values that span 1 (0 to 1), 2 (-1 to 1) or about 4.5 (with ImageNet's deviations).
func (b *builder) normalizedInside() bool {
	factor, shift, ops := b.stem()
	if len(ops) == 0 || b.image.DType == repository.Uint8 {
		return len(ops) > 0
	}
	from := "model.onnx normalizes its input: " + strings.Join(ops, ", ")
	usual := func(span float64) bool { return span >= 0.4 && span <= 12 }
	switch {
	case shift >= leastMean && shift <= 255, shift == 0 && usual(255*factor):
		b.say("input.scale", 1.0, from+" of values from 0 to 255")
	case shift >= 0.2 && shift <= 1, shift == 0 && usual(factor) && factor != 1:
		b.say("input.scale", 1.0/255, from+" of values from 0 to 1")
	default:
		b.askNormalization(from+", of values of an unknown range", "unit", "none", "imagenet")
	}
	return true
}

// sayNormalization sets scale, mean and std, unless there is a scale, which they would not fit.
func (b *builder) sayNormalization(n normalization, from string) {
	if b.image.DType == repository.Uint8 || b.values["input.scale"].text != "" {
		return
	}
	b.say("input.scale", n.scale, from)
	if slices.ContainsFunc(n.mean, func(v float64) bool { return v != 0 }) {
		b.say("input.mean", n.mean, from)
	}
	if slices.ContainsFunc(n.std, func(v float64) bool { return v != 1 }) {
		b.say("input.std", n.std, from)
	}
}

// pixel is a value as a pixel may have it, without the rounding errors of what it is computed from.
func pixel(v float64) float64 { return min(max(math.Round(v*1e6)/1e6, 0), 255) }

// zero is the color, in pixel values, that is 0 after the normalization.
func (n normalization) zero() []float64 {
	fill := make([]float64, len(n.mean))
	for i, mean := range n.mean {
		fill[i] = pixel(mean / n.scale)
	}
	return fill
}

// zeroColor is the color that is 0 after the normalization that the user says; without one, 0.
func (b *builder) zeroColor() []float64 {
	if b.said.scale == 0 || len(b.said.mean) == 0 {
		return []float64{0}
	}
	return b.said.zero()
}

// assumeImageNet assumes the normalization of ImageNet.
func (b *builder) assumeImageNet(why string) {
	b.assumed(func() { b.sayNormalization(normalizations["imagenet"], why) })
}

// askNormalization asks for the normalization, unless it is known or the input takes pixels as they are.
func (b *builder) askNormalization(reason string, candidates ...string) {
	if b.image.DType == repository.Uint8 || b.settings["normalization"] != "" || b.settings["input.scale"] != "" || b.settings["input.mean"] != "" || b.values["input.scale"].text != "" {
		return
	}
	b.ask("normalization", reason, candidates...)
}

// shortestEdge is torchvision's Resize and CenterCrop: the shorter side becomes edge.
func (b *builder) shortestEdge(edge int64, from string) {
	b.say("input.resize", string(repository.ShortestEdge), from)
	b.say("input.shortest_edge", edge, from)
}

// fit resizes the shorter side to shortest, or to less where the longer one would exceed longest; 0 is no limit.
func (b *builder) fit(shortest, longest int64, from string) {
	b.say("input.resize", string(repository.Fit), from)
	b.say("input.shortest_edge", shortest, from)
	if longest > 0 {
		b.say("input.longest_edge", longest, from)
	}
}
