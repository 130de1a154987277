package inference

import (
	"bytes"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"testing"

	"fovea/internal/repository"
	"fovea/internal/testenv"
	"fovea/postprocess"
	"fovea/preprocess"
)

// TestLargeJPEGsGiveTheAnswersOfTheirPixels sends large images as JPEG and as PNG of the same pixels. With decode: fast, which one
// of the models has, JPEGs are decoded at a quarter, and answers may differ a little.
func TestLargeJPEGsGiveTheAnswersOfTheirPixels(t *testing.T) {
	r := newRepository(t)
	names := r.real("", "mobilenetv2-12-int8", "yolox-nano")
	e := r.synced(nil)
	for _, s := range shipped() {
		asJPEG, asPNG := enlarged(t, testenv.Image(t, s.name), 2800, 2100)
		for _, name := range names {
			var answers [2]best
			for i, data := range [][]byte{asPNG, asJPEG} {
				got, err := e.Predict(t.Context(), Request{Model: name, Image: data})
				if err != nil {
					t.Fatal(err)
				}
				answers[i] = bestOf(got.Prediction)
			}
			score, box := 1e-4, 0.9999
			if name == "efficientnet-lite0" { // decode: fast
				score, box = 0.05, 0.9
			}
			png, jpeg := answers[0], answers[1]
			if png.label != jpeg.label || math.Abs(png.score-jpeg.score) > score || png.label != "" && overlap(png.box, jpeg.box) < box {
				t.Errorf("%s, %s: PNG %+v, JPEG %+v", name, s.name, png, jpeg)
			}
		}
	}
}

// best is the first class or box of an answer; a class is everywhere.
type best struct {
	label string // empty without a box
	score float64
	box   [4]float64
}

func bestOf(p postprocess.Prediction) best {
	switch p := p.(type) {
	case *postprocess.Classified:
		return best{p.Top[0].Label, p.Top[0].Score, [4]float64{0, 0, 1, 1}}
	case *postprocess.Detected:
		if len(p.Boxes) > 0 {
			b := p.Boxes[0]
			return best{b.Label, b.Score, [4]float64{b.X1, b.Y1, b.X2, b.Y2}}
		}
	}
	return best{}
}

// enlarged is an image at a larger size, as JPEG and as PNG of the JPEG's pixels, as libjpeg decodes them.
func enlarged(t *testing.T, data []byte, w, h int) (asJPEG, asPNG []byte) {
	t.Helper()
	small, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	from, large := rgba(small), image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		row := from.Pix[y*from.Rect.Dy()/h*from.Stride:]
		for x := range w {
			copy(large.Pix[y*large.Stride+4*x:][:4], row[4*(x*from.Rect.Dx()/w):])
		}
	}
	var j, p bytes.Buffer
	if err := jpeg.Encode(&j, large, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	pixels := decoded(t, j.Bytes(), w, h)
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&p, pixels); err != nil {
		t.Fatal(err)
	}
	return j.Bytes(), p.Bytes()
}

// decoded is an image of w×h pixels that package preprocess decodes.
func decoded(t *testing.T, data []byte, w, h int) image.Image {
	t.Helper()
	plan, err := preprocess.NewPlan(repository.Input{Width: w, Height: h, DType: repository.Uint8, Layout: "nhwc"}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	row := rowOf(t, plan, data)
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(img.Pix[4*i:], append(row[3*i:3*i+3:3*i+3], 255))
	}
	return img
}

func rgba(from image.Image) *image.RGBA {
	to := image.NewRGBA(image.Rect(0, 0, from.Bounds().Dx(), from.Bounds().Dy()))
	draw.Draw(to, to.Rect, from, from.Bounds().Min, draw.Src)
	return to
}
