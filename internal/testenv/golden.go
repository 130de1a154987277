package testenv

import (
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Golden returns the pixels that another library has of an image file, from the PNG of the same name next to it: red, green, blue and
// alpha, not multiplied.
func Golden(t testing.TB, file string) *image.NRGBA {
	t.Helper()
	golden, err := os.Open(strings.TrimSuffix(file, filepath.Ext(file)) + ".png")
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	img, err := png.Decode(golden)
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := img.(*image.NRGBA); ok {
		return n // drawing would lose the colors of transparent pixels
	}
	straight := image.NewNRGBA(img.Bounds())
	draw.Draw(straight, img.Bounds(), img, image.Point{}, draw.Src)
	return straight
}
