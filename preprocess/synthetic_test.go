package preprocess

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"testing"
)

// encodedPNG is a smooth image.
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

// plainPNG is an image of one color.
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

// shortPNG is a PNG of 8 columns with valid chunks, whose compressed data holds fewer rows than it says.
func shortPNG(t testing.TB, rows, given int) []byte {
	t.Helper()
	whole := plainPNG(t, 8, rows, color.RGBA{1, 2, 3, 255})
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	if _, err := w.Write(make([]byte, given*(1+3*8))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(whole, []byte("IDAT")) - 4
	chunk := append(binary.BigEndian.AppendUint32(nil, uint32(packed.Len())), "IDAT"...)
	chunk = append(chunk, packed.Bytes()...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	return append(append(whole[:at:at], chunk...), whole[len(whole)-12:]...)
}

func encodedJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// largePhoto is the photograph in testdata at 2592×1944, as JPEG.
func largePhoto(t testing.TB) []byte {
	t.Helper()
	return photo(t, 2592, 1944)
}

// photo is the photograph in testdata in a size, as JPEG, with the noise of a camera so that it has detail at that size.
func photo(t testing.TB, width, height int) []byte {
	t.Helper()
	small, err := jpeg.Decode(bytes.NewReader(read(t, "testdata", "coffee.jpg")))
	if err != nil {
		t.Fatal(err)
	}
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
