package resnet

import (
	"encoding/binary"
	"fmt"
	"math"

	"fovea/internal/float16"
	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
)

// model returns the ONNX model of the variant.
func (v Variant) model() *onnxwriter.Model {
	b := &builder{variant: v, model: &onnxwriter.Model{}}
	if v.Input == repository.Uint8 {
		b.model.Input("input", onnxwriter.Uint8, "batch", Size, Size, 3)
	} else {
		b.model.Input("input", b.weightType(), "batch", 3, Size, Size)
	}
	for _, t := range weights() {
		b.constant(t)
	}
	b.model.Output(b.network(), b.weightType(), "batch", Classes)
	return b.model
}

// builder appends one node after the other.
type builder struct {
	variant Variant
	model   *onnxwriter.Model
}

func (b *builder) weightType() onnxwriter.Type {
	if b.variant.Weights == repository.Float16 {
		return onnxwriter.Float16
	}
	return onnxwriter.Float
}

// node adds a node and returns the name of its output.
func (b *builder) node(op string, attributes onnxwriter.Attributes, inputs ...string) string {
	output := fmt.Sprintf("%s_%d", op, len(b.model.Nodes)+1)
	b.model.Node(op, output, attributes, inputs...)
	return output
}

// constant adds a weight in the variant's type and returns its name.
func (b *builder) constant(t tensor) string {
	raw := make([]byte, 0, len(t.values)*b.variant.Weights.Size())
	for _, v := range t.values {
		if b.variant.Weights == repository.Float16 {
			raw = binary.LittleEndian.AppendUint16(raw, float16.Bits(v))
		} else {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
	}
	b.model.Weights = append(b.model.Weights, onnxwriter.Tensor{Name: t.name, Type: b.weightType(), Dims: t.shape, Raw: raw})
	return t.name
}

// network adds all nodes and returns the name of the output.
func (b *builder) network() string {
	x := "input"
	if b.variant.Input == repository.Uint8 {
		x = b.normalize(x)
	}
	x = b.relu(b.convNorm(x, "conv1", "bn1", 7, 2))
	x = b.node("MaxPool", onnxwriter.Attributes{"kernel_shape": []int{3, 3}, "pads": []int{1, 1, 1, 1}, "strides": []int{2, 2}}, x)
	for i, s := range stages {
		for n := range s.blocks {
			stride := 1
			if n == 0 && i > 0 {
				stride = 2
			}
			x = b.block(x, fmt.Sprintf("layer%d.%d", i+1, n), stride, n == 0)
		}
	}
	x = b.node("GlobalAveragePool", nil, x)
	x = b.node("Flatten", nil, x)
	return b.node("Gemm", onnxwriter.Attributes{"transB": 1}, x, "fc.weight", "fc.bias")
}

// normalize converts bytes, channels last, to the input of the other variants: (v/255 − mean) / std, channels first.
func (b *builder) normalize(x string) string {
	scale, shift := tensor{"scale", []int{3, 1, 1}, make([]float32, 3)}, tensor{"shift", []int{3, 1, 1}, make([]float32, 3)}
	for c := range 3 {
		scale.values[c], shift.values[c] = float32(1/(255*Std[c])), float32(-Mean[c]/Std[c])
	}
	x = b.node("Transpose", onnxwriter.Attributes{"perm": []int{0, 3, 1, 2}}, x)
	x = b.node("Cast", onnxwriter.Attributes{"to": int(b.weightType())}, x)
	x = b.node("Mul", nil, x, b.constant(scale))
	return b.node("Add", nil, x, b.constant(shift))
}

// block adds a bottleneck: 1×1, 3×3 with the stride, 1×1, and a shortcut.
func (b *builder) block(x, name string, stride int, first bool) string {
	shortcut := x
	y := b.relu(b.convNorm(x, name+".conv1", name+".bn1", 1, 1))
	y = b.relu(b.convNorm(y, name+".conv2", name+".bn2", 3, stride))
	y = b.convNorm(y, name+".conv3", name+".bn3", 1, 1)
	if first {
		shortcut = b.convNorm(x, name+".downsample.0", name+".downsample.1", 1, stride)
	}
	return b.relu(b.node("Add", nil, y, shortcut))
}

func (b *builder) relu(x string) string { return b.node("Relu", nil, x) }

// convNorm adds a convolution and its normalization, which ONNX Runtime fuses when it loads the model.
func (b *builder) convNorm(x, conv, norm string, kernel, stride int) string {
	p := kernel / 2
	x = b.node("Conv", onnxwriter.Attributes{"kernel_shape": []int{kernel, kernel}, "pads": []int{p, p, p, p},
		"strides": []int{stride, stride}}, x, conv+".weight")
	return b.node("BatchNormalization", onnxwriter.Attributes{"epsilon": float32(1e-5)}, x, norm+".weight", norm+".bias",
		norm+".running_mean", norm+".running_var")
}
