package preprocess

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"testing"
)

// encodedPNG is a smooth picture.
func encodedPNG(t testing.TB, width, height int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.RGBA{uint8(x * 255 / width), uint8(y * 255 / height), uint8((x + y) % 256), 255})
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// plainPNG is a picture of one colour.
func plainPNG(t testing.TB, width, height int, c color.RGBA) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		img.Set(i%width, i/width, c)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func encodedJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// largePhoto is the photograph in testdata at 2592×1944, as JPEG, with the noise of a camera so that it has detail
// at that size.
func largePhoto(t testing.TB) []byte {
	t.Helper()
	small, err := jpeg.Decode(bytes.NewReader(read(t, "testdata", "coffee.jpg")))
	if err != nil {
		t.Fatal(err)
	}
	const width, height = 2592, 1944
	noise := rand.New(rand.NewPCG(1, 2))
	large := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			r, g, b, _ := small.At(x*600/width, y*400/height).RGBA()
			n := noise.IntN(33) - 16
			noisy := func(v uint32) uint8 { return uint8(max(0, min(int(v>>8)+n, 255))) }
			large.SetRGBA(x, y, color.RGBA{noisy(r), noisy(g), noisy(b), 255})
		}
	}
	return encodedJPEG(t, large)
}
