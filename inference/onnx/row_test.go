package onnx

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
)

// counting has, for each row with a number n, n in each of as many columns as the largest number of the batch, in "many", and the
// entry n of a table of three, in "entry"; it fails if that has none.
func counting() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 1)
	m.Floats("table", []float32{7, 8, 9}, 3)
	m.Ints("zeroth", []int64{0}, 1)
	m.Ints("flat", []int64{1}, 1)
	m.Node("Cast", "whole", onnxwriter.Attributes{"to": int(onnxwriter.Int64)}, "x")
	m.Node("ReduceMax", "largest", onnxwriter.Attributes{"keepdims": 0}, "whole")
	m.Node("Reshape", "columns", nil, "largest", "flat")
	m.Node("Shape", "shape", nil, "x")
	m.Node("Gather", "rows", onnxwriter.Attributes{"axis": 0}, "shape", "zeroth")
	m.Node("Concat", "size", onnxwriter.Attributes{"axis": 0}, "rows", "columns")
	m.Node("Expand", "many", nil, "x", "size")
	m.Node("Gather", "entry", nil, "table", "whole")
	m.Output("many", onnxwriter.Float, "n", "k")
	m.Output("entry", onnxwriter.Float, "n", 1)
	return m
}

func TestRowsRunAlone(t *testing.T) {
	open(t)
	b := batchOf(t, load(t, writeModel(t, counting()), Options{}), BatchSpec{Rows: 3, Buckets: []int{1, 3},
		Trial: func(trial, _, _ int, memory []byte) { put(memory, []float32{float32(1 + trial%2)}) }})
	for range 2 {
		for row, n := range []float32{1, 5, 2} {
			put(b.Input(0, row), []float32{n})
		}
		if err := b.Run(t.Context(), 3); !isRunError(err) {
			t.Fatalf("the run of all: %v", err)
		}
		for row, want := range [][2][]float32{{{1}, {8}}, {}, {{2, 2}, {9}}} {
			err := b.RunRow(t.Context(), row)
			switch {
			case (err != nil) != (row == 1):
				t.Errorf("row %d: %v", row, err)
			case row == 1 && (!isRunError(err) || !strings.Contains(err.Error(), "run row 1 of ")):
				t.Error(err)
			case row == 1:
			default:
				out := b.Outputs(row)
				if !slices.Equal(floats(out[0].Data), want[0]) || !slices.Equal(floats(out[1].Data), want[1]) || out[0].Shape[0] != int64(len(want[0])) {
					t.Errorf("row %d: %v", row, out)
				}
			}
		}
		if many := floats(b.Outputs(0)[0].Data); !slices.Equal(many, []float32{1}) {
			t.Errorf("row 0 is %v after the others", many)
		}
		for row := range 3 { // and all together again
			put(b.Input(0, row), []float32{float32(row)})
		}
		if err := b.Run(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		if got := floats(b.Outputs(1)[0].Data); !slices.Equal(got, []float32{1, 1}) {
			t.Errorf("row 1 of a run of all is %v", got)
		}
		if got := floats(b.Outputs(2)[1].Data); !slices.Equal(got, []float32{9}) {
			t.Errorf("row 2 of a run of all is %v", got)
		}
	}
}

func TestRowsThatCannotRunAlone(t *testing.T) {
	open(t)
	fixed := batchOf(t, load(t, "testdata/fixed4.onnx", Options{}), BatchSpec{})
	if err := fixed.RunRow(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "the batch sizes are [4]") {
		t.Error(err)
	}
	b := batchOf(t, load(t, writeModel(t, counting()), Options{}), BatchSpec{Rows: 2, Buckets: []int{1, 2}, Trial: func(_, _, _ int, memory []byte) { put(memory, []float32{1}) }})
	gone, cancel := context.WithCancelCause(t.Context())
	late := errors.New("late")
	cancel(late)
	if err := b.RunRow(gone, 0); !errors.Is(err, late) {
		t.Error(err)
	}
}

func isRunError(err error) bool {
	_, ok := errors.AsType[*RunError](err)
	return ok
}
