package preprocess

import (
	"bytes"
	"image"
	"image/color"
	"slices"
	"testing"
	"unsafe"

	"fovea/internal/repository"
)

// TestOpenSizes packs images into inputs whose size depends on the image.
func TestOpenSizes(t *testing.T) {
	white, black := []byte{255, 255, 255}, []byte{0, 0, 0}
	gray := []byte{114, 114, 114}
	for what, c := range map[string]struct {
		in   repository.Input
		w, h int
		size image.Point
		want []byte // nhwc
	}{
		"the image's own size":                      {repository.Input{Resize: repository.NoResize}, 3, 2, image.Pt(3, 2), bytes.Repeat(white, 6)},
		"padded at the right and the bottom with 0": {repository.Input{Resize: repository.NoResize, Stride: 4}, 3, 1, image.Pt(4, 4), slices.Concat(bytes.Repeat(white, 3), bytes.Repeat(black, 13))},
		"padded with another value":                 {repository.Input{Resize: repository.NoResize, Stride: 2, Fill: []float64{114}}, 1, 2, image.Pt(2, 2), slices.Concat(white, gray, white, gray)},
		"the shorter side scaled up to 4":           {repository.Input{Resize: repository.Fit, ShortestEdge: 4}, 3, 2, image.Pt(6, 4), bytes.Repeat(white, 24)},
		"a letterbox whose padding is less than 4":  {repository.Input{Resize: repository.Letterbox, Width: 8, Height: 8, Stride: 4, Fill: []float64{114}}, 16, 4, image.Pt(8, 4), slices.Concat(bytes.Repeat(gray, 8), bytes.Repeat(white, 16), bytes.Repeat(gray, 8))},
		"a letterbox without padding":               {repository.Input{Resize: repository.Letterbox, Width: 8, Height: 8, Stride: 4, Fill: []float64{114}}, 4, 8, image.Pt(4, 8), bytes.Repeat(white, 32)},
		"one limit: the other side scales with it":  {repository.Input{Resize: repository.NoResize, Width: 2}, 4, 2, image.Pt(2, 1), bytes.Repeat(white, 2)},
		"a limit that is no multiple of the stride": {repository.Input{Resize: repository.NoResize, Width: 5, Height: 5, Stride: 4}, 8, 4, image.Pt(4, 4), slices.Concat(bytes.Repeat(white, 8), bytes.Repeat(black, 8))},
	} {
		c.in.DType, c.in.Layout = repository.Uint8, "nhwc"
		plan := mustPlan(t, c.in)
		if plan.RowBytes() != 0 {
			t.Errorf("%s: a row has %d bytes for every image", what, plan.RowBytes())
		}
		size := plan.InputSize(c.w, c.h)
		if size != c.size {
			t.Errorf("%s: the input's size is %v, want %v", what, size, c.size)
			continue
		}
		data := plainPNG(t, c.w, c.h, color.RGBA{255, 255, 255, 255})
		img, err := plan.Decode(t.Context(), data, mustInfo(t, data))
		if err != nil {
			t.Fatal(err)
		}
		row := poisoned(3 * size.X * size.Y)
		if _, err := plan.Pack(img, row[:len(row)-1]); err == nil {
			t.Errorf("%s: a short row was packed", what)
		}
		transform, err := plan.Pack(img, row)
		img.Close()
		if err != nil || !bytes.Equal(row, c.want) {
			t.Errorf("%s: %v, want %v (%v)", what, row, c.want, err)
		}
		if transform.InputW != size.X || transform.InputH != size.Y || transform.Width != c.w || transform.Height != c.h {
			t.Errorf("%s: %+v", what, transform)
		}
	}
}

// TestOpenSizesInPlanes packs the same image into nchw and nhwc, and as gray.
func TestOpenSizesInPlanes(t *testing.T) {
	data := encodedPNG(t, 30, 17)
	in := repository.Input{Resize: repository.NoResize, Stride: 8, DType: repository.Float32, Layout: "nhwc"}
	open := func(in repository.Input, bytes int) []float32 {
		plan := mustPlan(t, in)
		img, err := plan.Decode(t.Context(), data, mustInfo(t, data))
		if err != nil {
			t.Fatal(err)
		}
		defer img.Close()
		row := poisoned(bytes)
		if _, err := plan.Pack(img, row); err != nil {
			t.Fatal(err)
		}
		return unsafe.Slice((*float32)(unsafe.Pointer(&row[0])), len(row)/4)
	}
	const area = 32 * 24
	interleaved := open(in, 3*area*4)
	in.Layout = "nchw"
	planes := open(in, 3*area*4)
	in.Color = repository.ColorGray
	grays := open(in, area*4)
	for i := range area {
		r, g, b := planes[i], planes[area+i], planes[2*area+i]
		if !slices.Equal(interleaved[3*i:3*i+3], []float32{r, g, b}) {
			t.Fatalf("pixel %d differs: %v", i, interleaved[3*i:3*i+3])
		}
		if want := float32(luma(byte(b), byte(g), byte(r))); grays[i] != want {
			t.Fatalf("pixel %d is %v in gray, want %v", i, grays[i], want)
		}
	}
}
