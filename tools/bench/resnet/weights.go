package resnet

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// tensor is one weight of the network.
type tensor struct {
	name   string
	shape  []int
	values []float32
}

// stages are the four groups of bottleneck blocks: how many, and the width of their 3×3 convolution.
var stages = []struct{ blocks, width int }{{3, 64}, {4, 128}, {6, 256}, {3, 512}}

const expansion = 4 // of a block's output over its width

// seed makes the weights reproducible.
const seed = 50

// maker draws weights in the order of torchvision's state_dict.
type maker struct {
	random *rand.Rand
	list   []tensor
}

// weights returns random weights, drawn like torchvision's initial ones (normal, by fan-out), except the normalizations, drawn so
// that folding them into the convolutions changes these. Those at the end of a block are halved, which keeps activations in
// float16's range through all sixteen blocks.
func weights() []tensor {
	m := &maker{random: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // weights, not secrets
	m.conv("conv1", 64, 3, 7)
	m.norm("bn1", 64, 1)
	in := 64
	for i, s := range stages {
		for b := range s.blocks {
			m.block(fmt.Sprintf("layer%d.%d", i+1, b), in, s.width, b == 0)
			in = s.width * expansion
		}
	}
	m.normal("fc.weight", 0.01, Classes, in)
	m.normal("fc.bias", 0.01, Classes)
	return m.list
}

func (m *maker) block(name string, in, width int, first bool) {
	m.conv(name+".conv1", width, in, 1)
	m.norm(name+".bn1", width, 1)
	m.conv(name+".conv2", width, width, 3)
	m.norm(name+".bn2", width, 1)
	m.conv(name+".conv3", width*expansion, width, 1)
	m.norm(name+".bn3", width*expansion, 0.5)
	if first {
		m.conv(name+".downsample.0", width*expansion, in, 1)
		m.norm(name+".downsample.1", width*expansion, 1)
	}
}

func (m *maker) conv(name string, out, in, kernel int) {
	deviation := math.Sqrt(2 / float64(out*kernel*kernel))
	m.normal(name+".weight", deviation, out, in, kernel, kernel)
}

func (m *maker) norm(name string, channels int, scale float32) {
	m.between(name+".weight", 0.8*scale, 1.2*scale, channels)
	m.normal(name+".bias", 0.1, channels)
	m.normal(name+".running_mean", 0.1, channels)
	m.between(name+".running_var", 0.8, 1.2, channels)
}

func (m *maker) normal(name string, deviation float64, shape ...int) {
	m.add(name, shape, func() float32 { return float32(m.random.NormFloat64() * deviation) })
}

func (m *maker) between(name string, low, high float32, shape ...int) {
	m.add(name, shape, func() float32 { return low + (high-low)*m.random.Float32() })
}

func (m *maker) add(name string, shape []int, draw func() float32) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = draw()
	}
	m.list = append(m.list, tensor{name, shape, values})
}
