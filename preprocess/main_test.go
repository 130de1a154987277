package preprocess

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"fovea/internal/repository"
	"fovea/preprocess/header"
)

// TestMain fails if a native matrix is leaked.
func TestMain(m *testing.M) {
	code := m.Run()
	if n := Live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d native matrices are still open\n", n)
		code = 1
	}
	os.Exit(code)
}

// bytesInput is an input of uint8 pixels, rows from the top, red, green, blue: the format of the goldens.
func bytesInput(width, height int) repository.Input {
	return repository.Input{Width: width, Height: height, DType: repository.Uint8, Layout: "nhwc"}
}

// resizedBy sets how images are resized to an input.
func resizedBy(in repository.Input, resize repository.Resize) repository.Input {
	in.Resize = resize
	if resize == repository.ShortestEdge {
		in.ShortestEdge = max(in.Width, in.Height)
	}
	return in
}

func mustPlan(t testing.TB, in repository.Input) *Plan {
	t.Helper()
	p, err := NewPlan(in.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// mustInfo reads a header.
func mustInfo(t testing.TB, data []byte) header.Info {
	t.Helper()
	info, err := header.Read(data, header.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// poisoned is a row of bytes 0xA5.
func poisoned(n int) []byte {
	row := make([]byte, n)
	for i := range row {
		row[i] = 0xA5
	}
	return row
}

// prepared decodes and packs an image into a poisoned row.
func prepared(t testing.TB, p *Plan, data []byte) []byte {
	t.Helper()
	return decoded(t, p, data, mustInfo(t, data))
}

// decoded is prepared with a modified header.
func decoded(t testing.TB, p *Plan, data []byte, info header.Info) []byte {
	t.Helper()
	img, err := p.Decode(t.Context(), data, info)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	row := poisoned(p.RowBytes())
	if _, err := p.Pack(img, row); err != nil {
		t.Fatal(err)
	}
	return row
}

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// difference is the mean and the largest difference of two byte rows.
func difference(a, b []byte) (mean float64, largest int) {
	sum := 0
	for i := range a {
		d := max(int(a[i])-int(b[i]), int(b[i])-int(a[i]))
		sum += d
		largest = max(largest, d)
	}
	return float64(sum) / float64(len(a)), largest
}
