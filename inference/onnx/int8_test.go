package onnx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
)

func TestSaturates(t *testing.T) {
	for name, c := range map[string]struct {
		f    features
		want bool
	}{
		"no x86, or one of before AVX2":                   {features{}, false},
		"AVX2 (Haswell to Coffee Lake, Zen 1 to 3)":       {features{avx2: true}, true},
		"AVX2 with VNNI (Alder Lake)":                     {features{avx2: true, avxVNNI: true}, false},
		"AVX-512 without VNNI (Skylake-SP)":               {features{avx2: true, avx512: true}, true},
		"AVX-512 with VNNI (Cascade Lake, Zen 4)":         {features{avx2: true, avx512: true, avx512VNNI: true}, false},
		"AVX-512 with both (Sapphire Rapids, Zen 5)":      {features{avx2: true, avxVNNI: true, avx512: true, avx512VNNI: true}, false},
		"AVX-512 whose VNNI a hypervisor hides":           {features{avx2: true, avxVNNI: true, avx512: true}, true},
		"AVX2 hidden, VNNI not (no processor is like it)": {features{avxVNNI: true}, false},
	} {
		if got := saturates(c.f); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// int8Case is a way to multiply whole numbers in an ONNX file.
type int8Case struct {
	operator string // pair: float operators between DequantizeLinear and QuantizeLinear
	pair     bool
	signed   bool // activations of int8 instead of uint8
	never    bool // saturates on no processor
}

var int8Cases = map[string]int8Case{
	"QLinearMatMul":             {operator: "QLinearMatMul"},
	"QLinearConv":               {operator: "QLinearConv"},
	"QLinearConv of int8":       {operator: "QLinearConv", signed: true, never: true},
	"MatMulInteger":             {operator: "MatMulInteger"},
	"QGemm":                     {operator: "QGemm"},
	"DynamicQuantizeMatMul":     {operator: "DynamicQuantizeMatMul"},
	"pairs around MatMul":       {operator: "MatMul", pair: true},
	"pairs around MatMul, int8": {operator: "MatMul", pair: true, signed: true},
	"pairs around Gemm":         {operator: "Gemm", pair: true},
	"pairs around Conv":         {operator: "Conv", pair: true},
	"pairs around Conv, int8":   {operator: "Conv", pair: true, signed: true},
}

// The sums of 64 products, each of the largest activation and a weight of 127, are 64 when they are scaled back.
const int8Depth, int8Width = 64, 16

// model is a model of one such operator, whose products do not fit into 16 bits in pairs (255 * 127 * 2 = 64,770).
func (c int8Case) model(opset int64) *onnxwriter.Model {
	element, step := onnxwriter.Uint8, float32(1.0/255)
	if c.signed {
		element, step = onnxwriter.Int8, 1.0/127
	}
	m := &onnxwriter.Model{Opset: opset, Domains: map[string]int64{"com.microsoft": 1}, Nodes: c.nodes()}
	m.Floats("step", []float32{step})
	m.Floats("weight step", []float32{1.0 / 127})
	m.Floats("output step", []float32{1})
	weights := onnxwriter.Tensor{Name: "w", Type: onnxwriter.Int8, Dims: []int{int8Depth, int8Width}, Raw: bytes.Repeat([]byte{127}, int8Depth*int8Width)}
	pixel := []any{} // the dimensions behind the channels
	if strings.HasSuffix(c.operator, "Conv") {
		weights.Dims, pixel = []int{int8Width, int8Depth, 1, 1}, []any{1, 1}
	}
	m.Weights = append(m.Weights, weights,
		onnxwriter.Tensor{Name: "zero", Type: element, Raw: []byte{0}}, onnxwriter.Tensor{Name: "weight zero", Type: onnxwriter.Int8, Raw: []byte{0}})
	m.Input("x", onnxwriter.Float, append([]any{"n", int8Depth}, pixel...)...)
	m.Output("y", onnxwriter.Float, append([]any{"n", int8Width}, pixel...)...)
	return m
}

func (c int8Case) nodes() []onnxwriter.Node {
	node := func(op, out string, in ...string) onnxwriter.Node {
		return onnxwriter.Node{Op: op, In: in, Out: []string{out}}
	}
	quantized := node("QuantizeLinear", "q", "x", "step", "zero")
	back := node("DequantizeLinear", "y", "r", "output step", "zero")
	if c.pair {
		return []onnxwriter.Node{quantized, node("DequantizeLinear", "d", "q", "step", "zero"),
			node("DequantizeLinear", "e", "w", "weight step", "weight zero"), node(c.operator, "p", "d", "e"),
			node("QuantizeLinear", "r", "p", "output step", "zero"), back}
	}
	switch c.operator {
	case "MatMulInteger":
		cast := node("Cast", "f", "i")
		cast.Attributes = onnxwriter.Attributes{"to": int(onnxwriter.Float)}
		return []onnxwriter.Node{quantized, node("MatMulInteger", "i", "q", "w", "zero", "weight zero"), cast,
			node("Mul", "g", "f", "step"), node("Mul", "y", "g", "weight step")}
	case "QGemm":
		gemm := node("QGemm", "y", "q", "step", "zero", "w", "weight step", "weight zero")
		gemm.Domain = "com.microsoft"
		return []onnxwriter.Node{quantized, gemm}
	case "DynamicQuantizeMatMul":
		multiply := node("DynamicQuantizeMatMul", "y", "x", "w", "weight step", "weight zero")
		multiply.Domain = "com.microsoft"
		return []onnxwriter.Node{multiply}
	}
	return []onnxwriter.Node{quantized,
		node(c.operator, "r", "q", "step", "zero", "w", "weight step", "weight zero", "output step", "zero"), back}
}

// Sums are the same on every processor. Without exactInt8 this fails on x86 with AVX2 and without VNNI, as
// qemu-x86_64 -cpu Haswell is.
func TestSumsOfInt8AreExact(t *testing.T) {
	open(t)
	for name, c := range int8Cases {
		for _, opset := range []int64{13, 17, 21, 23} {
			if c.operator == "QLinearMatMul" && opset >= 21 {
				continue // see repository.Weights
			}
			t.Run(fmt.Sprintf("%s, opset %d", name, opset), func(t *testing.T) {
				path := writeModel(t, c.model(opset))
				if got := sumOfInt8(t, path, false); math.Abs(got-int8Depth) > 1 {
					t.Errorf("%v, want %v", got, int8Depth)
				}
				saturates := Int8Saturates() && !c.never
				if fast := sumOfInt8(t, path, true); (math.Abs(fast-int8Depth) > 1) != saturates {
					t.Errorf("the fast way gives %v; that it saturates here: %v", fast, saturates)
				}
			})
		}
	}
}

// TestSumsOfInt8AreExactWithoutVNNI has an emulator of a processor without VNNI run the test above, where there is one.
func TestSumsOfInt8AreExactWithoutVNNI(t *testing.T) {
	emulator, err := exec.LookPath("qemu-x86_64-static")
	if err != nil {
		emulator, err = exec.LookPath("qemu-x86_64")
	}
	if err != nil || runtime.GOARCH != "amd64" {
		t.Skip("needs qemu-user on amd64")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), emulator, "-cpu", "Haswell", self, "-test.run=^TestSumsOfInt8AreExact$", "-test.v").CombinedOutput()
	if strings.Contains(string(out), "ThreadSanitizer") {
		t.Skip("the race detector does not run in the emulator")
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: TestSumsOfInt8AreExact ") {
		t.Errorf("%v\n%s", err, out)
	}
}

func sumOfInt8(t *testing.T, path string, saturating bool) float64 {
	s := load(t, path, Options{SaturatingInt8: saturating})
	row := s.Inputs()[0].Shape[1:]
	b := batchOf(t, s, BatchSpec{Rows: 1, RowShapes: [][]int64{row}})
	in := b.Input(0, 0)
	for i := 0; i < len(in); i += 4 {
		binary.NativeEndian.PutUint32(in[i:], math.Float32bits(1))
	}
	if err := b.Run(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return float64(math.Float32frombits(binary.NativeEndian.Uint32(b.Outputs(0)[0].Data)))
}
