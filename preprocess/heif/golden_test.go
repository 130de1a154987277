package heif

import (
	"bytes"
	"image"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/testenv"
	"fovea/preprocess/header"
)

// pillows returns the colors, blue, green and red, and the alpha that Pillow has of an image of testdata/heif.
func pillows(t *testing.T, name string) (colors, alpha []byte, size image.Point) {
	t.Helper()
	straight := testenv.Golden(t, name)
	for p := straight.Pix; len(p) > 0; p = p[4:] {
		colors, alpha = append(colors, p[2], p[1], p[0]), append(alpha, p[3], p[3], p[3])
	}
	return colors, alpha, straight.Bounds().Size()
}

// worst is how far from Pillow's a value may be. libavif converts by libyuv, whose weights have six bits and end at 2.
func worst(name string) (largest int, mean float64) {
	switch name := filepath.Base(name); {
	case strings.HasPrefix(name, "heic"):
		return 1, 0.45
	case strings.HasPrefix(name, "avif_grid"):
		return 12, 0.2 // chroma is not interpolated from tile to tile
	case strings.HasPrefix(name, "avif_named"):
		return 10, 1.1 // 2.11 times chroma
	case strings.HasPrefix(name, "avif_multiplied"):
		return 6, 0.7
	}
	return 3, 0.65 // it truncates 10 and 12 bits
}

func compare(t *testing.T, what string, got, want []byte, largest int, mean float64) {
	t.Helper()
	sum, most := 0, 0
	for i := range want {
		d := max(int(got[i])-int(want[i]), int(want[i])-int(got[i]))
		sum, most = sum+d, max(most, d)
	}
	if m := float64(sum) / float64(len(want)); most > largest || m > mean {
		t.Errorf("%s differs from Pillow by up to %d, %.2f in the mean", what, most, m)
	}
}

func TestMatchesPillow(t *testing.T) {
	compared := 0
	for _, name := range files(t) {
		data := read(t, name)
		info, err := header.Read(data, header.Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if info.Orientation != 1 {
			continue // package preprocess turns images
		}
		compared++
		colors, alpha, size := pillows(t, name)
		if size != image.Pt(info.Width, info.Height) {
			t.Errorf("%s has %d×%d pixels, want %v", name, info.Width, info.Height, size)
			continue
		}
		largest, mean := worst(name)
		got := bytes.Repeat([]byte{0xA5}, len(colors))
		if err := Decode(t.Context(), data, got, info.Width, info.Height); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		compare(t, name, got, colors, largest, mean)
		opaque, err := DecodeAlpha(t.Context(), data, got, info.Width, info.Height)
		if isOpaque := bytes.Count(alpha, []byte{255}) == len(alpha); err != nil || opaque != isOpaque {
			t.Errorf("%s is opaque: %t, %v; want %t", name, opaque, err, isOpaque)
		}
		if !opaque {
			compare(t, "the alpha of "+name, got, alpha, 1, 0.1)
		}
		if err := Decode(t.Context(), data, got, info.Width+1, info.Height); err == nil {
			t.Errorf("%s was decoded to another width", name)
		}
	}
	if compared < 20 {
		t.Errorf("only %d images", compared)
	}
}

func TestDividing(t *testing.T) {
	colors, alpha := []byte{0, 10, 100, 255, 7, 200}, []byte{128, 255, 200, 254, 0, 100}
	divide(colors, alpha)
	if want := []byte{0, 10, 128, 255, 7, 255}; !bytes.Equal(colors, want) {
		t.Errorf("%v, want %v", colors, want)
	}
}

// TestPartsAreThoseThatTheCropShows crops a grid of 3×2 tiles.
func TestPartsAreThoseThatTheCropShows(t *testing.T) {
	img := &header.HEIFImage{TileWidth: 64, TileHeight: 64, Columns: 3, Rows: 2, Tiles: make([][][]byte, 6)}
	want := []struct {
		from image.Rectangle
		to   image.Point
	}{
		{image.Rect(6, 10, 64, 64), image.Pt(0, 0)}, {image.Rect(0, 10, 2, 64), image.Pt(58, 0)},
		{image.Rect(6, 0, 64, 16), image.Pt(0, 54)}, {image.Rect(0, 0, 2, 16), image.Pt(58, 54)},
	}
	got := partsOf(img, image.Rect(70, 10, 130, 80))
	if len(got) != len(want) {
		t.Fatalf("%d parts", len(got))
	}
	for i, p := range got {
		if p.from != want[i].from || p.to != want[i].to {
			t.Errorf("part %d: %v to %v, want %v", i, p.from, p.to, want[i])
		}
	}
}
