package onnx

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// prefixed are strings with their lengths in front.
func prefixed(list ...string) (data []byte) {
	for _, s := range list {
		data = binary.LittleEndian.AppendUint32(data, uint32(len(s)))
		data = append(data, s...)
	}
	return data
}

func feedOf(t *testing.T, s *Session, inputs ...postprocess.Tensor) *Feed {
	t.Helper()
	f, err := s.NewFeed(inputs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestFeedOfEveryType(t *testing.T) {
	open(t)
	for dtype, number := range feedTypes {
		data := bytes.Repeat([]byte{1}, 6*FeedSize(dtype))
		if dtype == repository.String {
			data = prefixed("a", "", "\x00\xff\x00", "ü", strings.Repeat("long ", 100), "z")
		}
		s := load(t, writeModel(t, onnxwriter.Identity(onnxwriter.Type(number), "n", "m")), Options{FeedsOnly: true})
		f := feedOf(t, s, postprocess.Tensor{DType: dtype, Shape: []int64{2, 3}, Data: data})
		for range 2 {
			if err := f.Run(t.Context(), 1); err != nil {
				t.Fatalf("%s: %v", dtype, err)
			}
			out := f.Outputs(0)
			if len(out) != 1 || out[0].Name != "y" || out[0].DType != dtype || !slices.Equal(out[0].Shape, []int64{2, 3}) || !bytes.Equal(out[0].Data, data) {
				t.Errorf("%s: got %+v", dtype, out)
			}
		}
	}
}

func TestFeedOfShapes(t *testing.T) {
	open(t)
	for _, c := range []struct {
		name string
		dims []any
		feed []int64
	}{{"a scalar", []any{}, nil}, {"one dimension", []any{"n"}, []int64{5}}, {"fixed", []any{1, 2, 3}, []int64{1, 2, 3}}, {"no elements", []any{"n", 4}, []int64{0, 4}}} {
		s := load(t, writeModel(t, onnxwriter.Identity(onnxwriter.Float, c.dims...)), Options{FeedsOnly: true})
		n, err := countFeed(c.feed)
		if err != nil {
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte{0, 0, 128, 63}, n)
		f := feedOf(t, s, postprocess.Tensor{DType: repository.Float32, Shape: c.feed, Data: data})
		if err := f.Run(t.Context(), 1); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if out := f.Outputs(0)[0]; !slices.Equal(out.Shape, c.feed) || !bytes.Equal(out.Data, data) {
			t.Errorf("%s: got %v of %d bytes", c.name, out.Shape, len(out.Data))
		}
	}
}

func TestFeedChecksInputs(t *testing.T) {
	open(t)
	floats := load(t, writeModel(t, onnxwriter.Identity(onnxwriter.Float, "n", 2)), Options{FeedsOnly: true})
	texts := load(t, writeModel(t, onnxwriter.Identity(onnxwriter.String, "n")), Options{FeedsOnly: true})
	for says, c := range map[string]struct {
		s  *Session
		in []postprocess.Tensor
	}{
		"0 inputs; the model has 1":         {floats, nil},
		"is float64; the model takes":       {floats, []postprocess.Tensor{{DType: repository.Float64, Shape: []int64{1, 2}, Data: make([]byte, 16)}}},
		"has 7 bytes":                       {floats, []postprocess.Tensor{{DType: repository.Float32, Shape: []int64{1, 2}, Data: make([]byte, 7)}}},
		"has the shape [-1 2]":              {floats, []postprocess.Tensor{{DType: repository.Float32, Shape: []int64{-1, 2}}}},
		"has more than":                     {floats, []postprocess.Tensor{{DType: repository.Float32, Shape: []int64{1 << 30, 1 << 30, 1 << 30}}}},
		"fewer strings than its shape":      {texts, []postprocess.Tensor{{DType: repository.String, Shape: []int64{2}, Data: prefixed("a")}}},
		"longer than its data":              {texts, []postprocess.Tensor{{DType: repository.String, Shape: []int64{1}, Data: prefixed("abc")[:6]}}},
		"has more data":                     {texts, []postprocess.Tensor{{DType: repository.String, Shape: []int64{1}, Data: prefixed("a", "b")}}},
		"is string; the model takes float3": {floats, []postprocess.Tensor{{DType: repository.String, Shape: []int64{1}, Data: prefixed("a")}}},
	} {
		if f, err := c.s.NewFeed(c.in); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, %v", says, f, err)
		}
	}
}

func TestFeedNextToBatches(t *testing.T) {
	open(t)
	m := onnxwriter.Identity(onnxwriter.Float, "n", 2)
	m.Floats("two", []float32{2})
	m.Node("Greater", "more", nil, "x", "two")
	m.Output("more", onnxwriter.Bool, "n", 2)
	s := load(t, writeModel(t, m), Options{Outputs: []string{"y"}})
	b := batchOf(t, s, BatchSpec{Rows: 1})
	f := feedOf(t, s, postprocess.Tensor{DType: repository.Float32, Shape: []int64{1, 2}, Data: []byte{0, 0, 128, 63, 0, 0, 128, 64}})
	if err := f.Run(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if out := f.Outputs(0); len(out) != 2 || out[1].DType != repository.Bool || !bytes.Equal(out[1].Data, []byte{0, 1}) {
		t.Errorf("got %+v", out)
	}
	if err := b.Run(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

func TestFeedErrors(t *testing.T) {
	open(t)
	m := onnxwriter.Identity(onnxwriter.Float, "n", "m")
	m.Ints("shape", []int64{7})
	m.Node("Reshape", "z", nil, "x", "shape")
	m.Output("z", onnxwriter.Float, 7)
	s := load(t, writeModel(t, m), Options{FeedsOnly: true})
	f := feedOf(t, s, postprocess.Tensor{DType: repository.Float32, Shape: []int64{2, 2}, Data: make([]byte, 16)})
	err := f.Run(t.Context(), 1)
	if err == nil || !strings.Contains(err.Error(), "Reshape") || len(f.Outputs(0)) != 0 {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Run(ended, 1); err == nil {
		t.Error("ran after the end of its context")
	}
	only := load(t, writeModel(t, onnxwriter.Identity(onnxwriter.Bool, "n", 2)), Options{FeedsOnly: true})
	if only.Outputs()[0].DType != repository.Bool {
		t.Errorf("outputs %v", only.Outputs())
	}
	if _, err := NewSession(writeModel(t, onnxwriter.Identity(onnxwriter.Bool, "n", 2)), Options{}); err == nil || !strings.Contains(err.Error(), `input "x" has elements of bool`) {
		t.Errorf("batches of bool: %v", err)
	}
}
