package loadtest

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"fovea/internal/float16"
)

func TestTensorsOfEveryDatatype(t *testing.T) {
	random := func() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }
	whole := func(data []byte) float64 {
		return float64(binary.LittleEndian.Uint64(append(slices.Clone(data), make([]byte, 8-len(data))...)))
	}
	values := map[string]func([]byte) float64{
		"FP16": func(data []byte) float64 { return float64(float16.Value(binary.LittleEndian.Uint16(data))) },
		"BF16": func(data []byte) float64 {
			return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(data)) << 16))
		},
		"FP32": func(data []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(data))) },
		"FP64": func(data []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(data)) },
	}
	for datatype, size := range elementSizes {
		info := []tensorInfo{{"x", datatype, []int64{-1, 50}}}
		zero, err := tensors(info, nil, 2, nil)
		if err != nil || !slices.Equal(zero[0].Shape, []int64{2, 50}) || !bytes.Equal(zero[0].data, make([]byte, 100*size)) {
			t.Errorf("%s: zeros: %v, %v", datatype, zero, err)
		}
		one, _ := tensors(info, nil, 2, random())
		other, _ := tensors(info, nil, 2, random())
		if len(one[0].data) != int(100*size) || !bytes.Equal(one[0].data, other[0].data) {
			t.Errorf("%s: %d bytes, repeated %t", datatype, len(one[0].data), bytes.Equal(one[0].data, other[0].data))
		}
		value, limit := values[datatype], 1.0
		if value == nil {
			value, limit = whole, 99
		}
		if datatype == "BOOL" {
			limit = 1
		}
		distinct := map[float64]bool{}
		for element := range slices.Chunk(one[0].data, int(size)) {
			v := value(element)
			distinct[v] = true
			if !(v >= 0 && v <= limit) {
				t.Errorf("%s: %g", datatype, v)
			}
		}
		if len(distinct) < 2 || datatype != "BOOL" && len(distinct) < 25 {
			t.Errorf("%s: only %d different elements", datatype, len(distinct))
		}
	}
	strings, err := tensors([]tensorInfo{{"x", bytesType, []int64{-1, 2}}}, nil, 2, random())
	if err != nil || len(strings[0].data) != 4*(4+2) || !bytes.HasPrefix(strings[0].data, []byte{2, 0, 0, 0}) {
		t.Errorf("strings: %v, %v", strings, err)
	}
	if empty, _ := tensors([]tensorInfo{{"x", bytesType, []int64{3}}}, nil, 1, nil); !bytes.Equal(empty[0].data, make([]byte, 12)) {
		t.Errorf("empty strings: %v", empty)
	}
}

func TestShapesOfTensors(t *testing.T) {
	for _, test := range []struct {
		name   string
		shape  []int64 // of the metadata
		shapes Shapes
		rows   int
		want   []int64
		err    string
	}{
		{"one row of an open batch", []int64{-1, 3}, nil, 1, []int64{1, 3}, ""},
		{"rows of an open batch", []int64{-1, 3}, nil, 5, []int64{5, 3}, ""},
		{"a closed batch", []int64{4, 3}, nil, 1, []int64{4, 3}, ""},
		{"more rows than a closed batch: for the server to refuse", []int64{1, 3}, nil, 2, []int64{2, 3}, ""},
		{"a scalar", []int64{}, nil, 1, []int64{}, ""},
		{"open sizes that are given", []int64{-1, 3, -1, -1}, Shapes{"x": {1, 3, 8, 9}}, 1, []int64{1, 3, 8, 9}, ""},
		{"open sizes", []int64{-1, 3, -1}, nil, 1, nil, "shape: the input x has the shape [-1 3 -1], whose sizes of -1 are open"},
		{"the shape of another input", []int64{-1}, Shapes{"y": {1}}, 1, nil, `shape: the model has no input "y"`},
		{"too large", []int64{-1, 1 << 30}, nil, 1, nil, "exceeds 1024 MiB"},
		{"larger than any number", []int64{1 << 40, 1 << 40}, nil, 1, nil, "exceeds 1024 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := slices.Clone(test.shape)
			got, err := tensors([]tensorInfo{{"x", "FP32", test.shape}}, test.shapes, test.rows, nil)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || !slices.Equal(got[0].Shape, test.want) || !slices.Equal(test.shape, before) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if _, err := tensors([]tensorInfo{{"x", "FP8", []int64{1}}}, nil, 1, nil); err == nil || !strings.Contains(err.Error(), `"FP8"`) {
		t.Errorf("an unknown datatype: %v", err)
	}
}

func TestShapesAreRead(t *testing.T) {
	var s Shapes
	for _, text := range []string{"images:1,3, 640,640", "a:b:7"} {
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(s["images"], []int64{1, 3, 640, 640}) || !slices.Equal(s["a:b"], []int64{7}) {
		t.Errorf("got %v", s)
	}
	for _, text := range []string{"", "x", ":1", "x:", "x:0", "x:-1", "x:1,", "x:1.5", "x:99999999999"} {
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
