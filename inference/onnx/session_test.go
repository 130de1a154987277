package onnx

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/internal/repository"
)

func TestSessionReportsDeclaredInputsAndOutputs(t *testing.T) {
	open(t)
	s := load(t, "testdata/types.onnx", Options{})
	want := []Info{
		{Name: "f", DType: repository.Float32, Shape: []int64{-1, 3}}, {Name: "h", DType: repository.Float16, Shape: []int64{-1, 3}}, {Name: "u", DType: repository.Uint8, Shape: []int64{-1, 3}},
		{Name: "i", DType: repository.Int32, Shape: []int64{-1, 2}}, {Name: "l", DType: repository.Int64, Shape: []int64{-1, 1}},
	}
	for i, got := range s.Inputs() {
		if got.Name != want[i].Name || got.DType != want[i].DType || !slices.Equal(got.Shape, want[i].Shape) {
			t.Errorf("input %d is %v, want %v", i, got, want[i])
		}
		out := s.Outputs()[i]
		if out.Name != want[i].Name+"o" || out.DType != want[i].DType || !slices.Equal(out.Shape, want[i].Shape) {
			t.Errorf("output %d is %v, want that of %v", i, out, want[i])
		}
	}
	if s.Device() != (Device{Kind: CPU}) || s.FixedBatch(nil) != 0 {
		t.Errorf("device %s, fixed batch %d", s.Device(), s.FixedBatch(nil))
	}
	if n := load(t, "testdata/fixed4.onnx", Options{}).FixedBatch(nil); n != 4 {
		t.Errorf("fixed batch %d, want 4", n)
	}
}

func TestInvalidFilesAreRefused(t *testing.T) {
	open(t)
	folder := t.TempDir()
	good, err := os.ReadFile("testdata/conv.onnx")
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct{ path, want string }{
		"an empty file":                {write("empty.onnx", nil), "is empty"},
		"random bytes":                 {write("random.onnx", random), "load "},
		"a model truncated":            {write("half.onnx", good[:len(good)/2]), "load "},
		"text":                         {write("text.onnx", []byte("version https://git-lfs.github.com/spec/v1\n")), "load "},
		"a folder":                     {folder, "is not a file"},
		"no file":                      {filepath.Join(folder, "none.onnx"), "no such file"},
		"external data that is absent": {write("external.onnx", read(t, "testdata/external.onnx")), "external.data"},
		"an unknown operator":          {"testdata/unknown.onnx", "Nonsense"},
		"elements of float64":          {"testdata/float64.onnx", `input "x" has elements of`},
	} {
		t.Run(name, func(t *testing.T) {
			before := Live()
			s, err := NewSession(c.path, Options{})
			if err == nil {
				t.Fatal("loaded", s.Close())
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("error %q does not name %q and %q", err, c.path, c.want)
			}
			if Live() != before {
				t.Errorf("%d native values are left", Live()-before)
			}
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A corrupt file may load by luck; it must never end the process.
func TestTruncatedOrCorruptModelsDoNotCrash(t *testing.T) {
	open(t)
	path := realModels(t)[0]
	good := read(t, path)
	corrupt := filepath.Join(t.TempDir(), "corrupt.onnx")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 12 {
		data := slices.Clone(good)
		if i%2 == 0 {
			data = data[:random.IntN(len(data))]
		} else {
			for range 1 + i*i {
				data[random.IntN(len(data))] ^= byte(1 + random.IntN(255))
			}
		}
		if err := os.WriteFile(corrupt, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := NewSession(corrupt, Options{})
		if err != nil {
			continue
		}
		if i%2 == 0 {
			t.Errorf("a model cut to %d of %d bytes loads", len(data), len(good))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSessionWithOpenBatchesCannotBeClosed(t *testing.T) {
	open(t)
	s := load(t, "testdata/conv.onnx", Options{})
	b := batchOf(t, s, BatchSpec{Rows: 1})
	if err := s.Close(); err == nil {
		t.Fatal("the session closed under its batch")
	}
	if err := Close(); err == nil {
		t.Fatal("the library closed under its session")
	}
	if err := b.Run(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Run(t.Context(), 1); err == nil {
		t.Error("a closed batch ran")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.NewBatch(t.Context(), BatchSpec{Rows: 1}); err == nil || !strings.Contains(err.Error(), "is closed") {
		t.Errorf("batch of a closed session: %v", err)
	}
}
