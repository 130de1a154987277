package onnx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
)

// doubled is a model of "y", twice the input "x", with outputs of types that are not read and of all number types.
func doubled() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 2)
	m.Floats("two", []float32{2})
	m.Node("Greater", "bool", nil, "x", "two")
	m.Output("bool", onnxwriter.Bool, "n", 2)
	m.Node("SequenceConstruct", "sequence", nil, "x")
	m.SequenceOutput("sequence", onnxwriter.Float)
	m.Node("Optional", "optional", nil, "x")
	m.OptionalOutput("optional", onnxwriter.Float)
	m.Node("Mul", "y", nil, "x", "two")
	m.Output("y", onnxwriter.Float, "n", 2)
	m.Node("Cast", "text", onnxwriter.Attributes{"to": int(onnxwriter.String)}, "x")
	m.Output("text", onnxwriter.String, "n", 2)
	for name, t := range map[string]onnxwriter.Type{"int8": onnxwriter.Int8, "float64": onnxwriter.Double, "int32": onnxwriter.Int32} {
		m.Node("Cast", name, onnxwriter.Attributes{"to": int(t)}, "y")
		m.Output(name, t, "n", "k")
	}
	return m
}

func TestOnlySelectedOutputsAreFetched(t *testing.T) {
	open(t)
	path := writeModel(t, doubled())
	file, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Info{{Name: "bool", DType: repository.Bool}, {Name: "sequence", DType: "sequence"}, {Name: "text", DType: "string"}, {Name: "optional", DType: "optional"}, {Name: "float64", DType: repository.Float64}} {
		if i := slices.IndexFunc(file.Outputs, func(o Info) bool { return o.Name == want.Name }); i < 0 || file.Outputs[i].DType != want.DType {
			t.Errorf("%s is not declared as %s: %+v", want.Name, want.DType, file.Outputs)
		}
	}
	for _, names := range [][]string{{"y"}, {"int8", "y"}, {"float64"}, {"int32", "float64", "int8", "y"}, {"bool", "y"}} {
		s := load(t, path, Options{Outputs: names, File: file})
		b := batchOf(t, s, BatchSpec{Rows: 1})
		put(b.Input(0, 0), []float32{3, -4})
		if err := b.Run(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if len(b.Outputs(0)) != len(names) || len(s.Outputs()) != len(names) {
			t.Errorf("%v: %d outputs", names, len(b.Outputs(0)))
		}
		want := map[string][]byte{
			"int8":    {6, 0xF8},
			"bool":    {1, 0},
			"int32":   binary.NativeEndian.AppendUint32([]byte{6, 0, 0, 0}, 0xFFFFFFF8),
			"float64": binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, 0x4018000000000000), 0xC020000000000000),
			"y":       binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, 0x40C00000), 0xC1000000),
		}
		for _, out := range b.Outputs(0) {
			if !slices.Contains(names, out.Name) || !bytes.Equal(out.Data, want[out.Name]) {
				t.Errorf("%v: output %q is %x", names, out.Name, out.Data)
			}
		}
	}
}

func TestUnsupportedSelectedOutputsAreRefused(t *testing.T) {
	open(t)
	path := writeModel(t, doubled())
	for want, names := range map[string][]string{
		`output "text" has elements of string; allowed: [bool float16 float32`: {"y", "text"},
		`output "sequence" has elements of sequence; allowed`:                  {"sequence"},
		`output "optional" has elements of optional; allowed`:                  {"optional"},
		`outputs ["none"] were requested`:                                      {"none"},
		`output "sequence" has elements`:                                       nil, // all
	} {
		s, err := NewSession(path, Options{Outputs: names})
		if err == nil {
			t.Fatal("loaded", s.Close())
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", names, err, want)
		}
	}
}

// chosen is a model that gives the boxes of the columns of "x" that are above 0.5: how many depends on the input.
func chosen(batch any, boxes ...any) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, batch, 6)
	m.Floats("half", []float32{0.5})
	m.Ints("first", []int64{0}, 1)
	m.Floats("boxes", []float32{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11}, 6, 4)
	m.Node("ReduceMax", "column", onnxwriter.Attributes{"axes": []int{0}, "keepdims": 0}, "x")
	m.Node("Greater", "is", nil, "column", "half")
	m.Node("Compress", "y", onnxwriter.Attributes{"axis": 0}, "boxes", "is")
	m.Output("y", onnxwriter.Float, boxes...)
	return m
}

// TestNumberOfBoxesInTrialRunsDoesNotMatter lets the trial runs see every series of box counts, then runs with every count:
// the number in a trial run is never taken for the only one possible.
func TestNumberOfBoxesInTrialRunsDoesNotMatter(t *testing.T) {
	open(t)
	for _, batch := range []any{1, "n"} {
		path := writeModel(t, chosen(batch, "k", 4))
		for series := range 1 << 8 { // four numbers of 0 to 3
			if series%7 != 0 && series != 1+4+16+64 { // every seventh, and one box in all
				continue
			}
			found := func(trial int) int { return series >> (2 * trial) & 3 }
			s := load(t, path, Options{})
			b := batchOf(t, s, BatchSpec{Rows: 1, Trial: func(trial, _, _ int, memory []byte) { put(memory, ones(found(trial))) }})
			before := b.Outputs(0)[0].Shape
			alike := found(0) == found(1) && found(1) == found(2) && found(2) == found(3)
			if open := slices.Contains(before, -1); open == (alike && found(0) != 0) {
				t.Errorf("batch %v, trials %#x: the shape is taken for %v", batch, series, before)
			}
			for n := range 7 {
				put(b.Input(0, 0), ones(n))
				if err := b.Run(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				out := b.Outputs(0)[0]
				shape := fmt.Sprint(out.Shape)
				if shape != fmt.Sprint([]int{n, 4}) && !(n == 1 && shape == "[4]") || len(out.Data) != 16*n {
					t.Fatalf("batch %v, trials %#x: %d boxes are %v with %d bytes", batch, series, n, out.Shape, len(out.Data))
				}
			}
		}
	}
}

// ones are six numbers of which n are 1.
func ones(n int) []float32 {
	values := make([]float32, 6)
	for i := range n {
		values[i] = 1
	}
	return values
}

func TestFailedTrialRunIsIgnored(t *testing.T) {
	open(t)
	m := &onnxwriter.Model{} // the sixth number says which of three rows is taken: an index of 9 fails
	m.Input("x", onnxwriter.Float, 1, 6)
	m.Floats("table", []float32{1, 2, 3}, 3, 1)
	m.Node("ReduceSum", "sum", onnxwriter.Attributes{"keepdims": 0}, "x")
	m.Node("Cast", "index", onnxwriter.Attributes{"to": int(onnxwriter.Int64)}, "sum")
	m.Ints("one", []int64{1}, 1)
	m.Node("Reshape", "indices", nil, "index", "one")
	m.Node("Gather", "y", nil, "table", "indices")
	m.Output("y", onnxwriter.Float, "n", "k")
	path := writeModel(t, m)
	sums := func(of ...float32) func(trial, input, row int, memory []byte) {
		return func(trial, _, _ int, memory []byte) { put(memory, []float32{of[trial], 0, 0, 0, 0, 0}) }
	}
	s := load(t, path, Options{})
	b := batchOf(t, s, BatchSpec{Rows: 1, Trial: sums(9, 1, 9, 2)})
	put(b.Input(0, 0), ones(2))
	if err := b.Run(t.Context(), 1); err != nil || floats(b.Outputs(0)[0].Data)[0] != 3 {
		t.Error(err)
	}
	other := load(t, path, Options{})
	if b, err := other.NewBatch(t.Context(), BatchSpec{Rows: 1, Trial: sums(9, 9, 9, 9)}); err == nil {
		t.Error("a model that fails in every trial was loaded", b.Close())
	}
}
