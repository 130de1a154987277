package resnet

import (
	"fmt"

	"fovea/internal/repository"
)

// model is the ModelProto of the variant.
func (v Variant) model() []byte {
	b := &builder{variant: v}
	for _, t := range weights() {
		b.constant(t, v.Weights)
	}
	b.network()
	g := b.graph.message
	g.text(2, v.Name)
	if v.Input == repository.Uint8 {
		g.bytes(11, value("input", v.Input, Size, Size, 3))
	} else {
		g.bytes(11, value("input", v.Input, 3, Size, Size))
	}
	g.bytes(12, value(b.output, v.Weights, Classes))
	var set, m message
	set.number(2, opset)
	m.number(1, irVersion)
	m.text(2, "fovea")
	m.bytes(7, g)
	m.bytes(8, set)
	return m
}

// builder writes the nodes, one after the other.
type builder struct {
	graph
	variant Variant
	output  string
}

func (b *builder) network() {
	x := "input"
	if b.variant.Input == repository.Uint8 {
		x = b.normalize(x)
	}
	x = b.relu(b.convNorm(x, "conv1", "bn1", 7, 2))
	x = b.node("MaxPool", []string{x}, map[string]any{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1},
		"strides": []int64{2, 2}}, "kernel_shape", "pads", "strides")
	for i, s := range stages {
		for n := range s.blocks {
			stride := 1
			if n == 0 && i > 0 {
				stride = 2
			}
			x = b.block(x, fmt.Sprintf("layer%d.%d", i+1, n), stride, n == 0)
		}
	}
	x = b.node("GlobalAveragePool", []string{x}, nil)
	x = b.node("Flatten", []string{x}, nil)
	b.output = b.node("Gemm", []string{x, "fc.weight", "fc.bias"}, map[string]any{"transB": int64(1)}, "transB")
}

// normalize makes bytes, channels last, what the other variants take: (v/255 − mean) / std, channels first.
func (b *builder) normalize(x string) string {
	scale, shift := tensor{"scale", []int64{3, 1, 1}, make([]float32, 3)}, tensor{"shift", []int64{3, 1, 1}, make([]float32, 3)}
	for c := range 3 {
		scale.values[c], shift.values[c] = float32(1/(255*Std[c])), float32(-Mean[c]/Std[c])
	}
	x = b.node("Transpose", []string{x}, map[string]any{"perm": []int64{0, 3, 1, 2}}, "perm")
	x = b.node("Cast", []string{x}, map[string]any{"to": int64(elementType[b.variant.Weights])}, "to")
	x = b.node("Mul", []string{x, b.constant(scale, b.variant.Weights)}, nil)
	return b.node("Add", []string{x, b.constant(shift, b.variant.Weights)}, nil)
}

// block is a bottleneck: 1×1, 3×3 with the stride, 1×1, beside a shortcut.
func (b *builder) block(x, name string, stride int, first bool) string {
	shortcut := x
	y := b.relu(b.convNorm(x, name+".conv1", name+".bn1", 1, 1))
	y = b.relu(b.convNorm(y, name+".conv2", name+".bn2", 3, stride))
	y = b.convNorm(y, name+".conv3", name+".bn3", 1, 1)
	if first {
		shortcut = b.convNorm(x, name+".downsample.0", name+".downsample.1", 1, stride)
	}
	return b.relu(b.node("Add", []string{y, shortcut}, nil))
}

func (b *builder) relu(x string) string { return b.node("Relu", []string{x}, nil) }

// convNorm is a convolution and its normalization, which ONNX Runtime folds into one when it loads the model.
func (b *builder) convNorm(x, conv, norm string, kernel, stride int) string {
	k, s, p := int64(kernel), int64(stride), int64(kernel/2)
	x = b.node("Conv", []string{x, conv + ".weight"}, map[string]any{"kernel_shape": []int64{k, k},
		"pads": []int64{p, p, p, p}, "strides": []int64{s, s}}, "kernel_shape", "pads", "strides")
	return b.node("BatchNormalization", []string{x, norm + ".weight", norm + ".bias", norm + ".running_mean",
		norm + ".running_var"}, map[string]any{"epsilon": float32(1e-5)}, "epsilon")
}
