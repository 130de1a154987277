package preprocess

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"testing"

	"fovea/internal/repository"
)

// fadingPNG is a PNG whose alpha grows to the right and whose colors do not change.
func fadingPNG(t *testing.T, width, height int) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		img.SetNRGBA(i%width, i/width, color.NRGBA{200, 100, 50, byte(4 * (i % width))})
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFourChannels(t *testing.T) {
	fading, opaquePNG, jpeg := fadingPNG(t, 40, 20), plainPNG(t, 40, 20, color.RGBA{200, 100, 50, 255}), read(t, "testdata", "coffee.jpg")
	fill := []float64{10, 20, 30, 40}
	for _, layout := range []string{"nchw", "nhwc"} {
		for _, dtype := range []repository.DType{repository.Float32, repository.Float16, repository.Uint8} {
			scale, mean, std := 0.5, []float64{1, 2, 3, 4}, []float64{2, 4, 8, 16}
			if dtype == repository.Uint8 {
				scale, mean, std = 1, []float64{0}, []float64{1}
			}
			for order, pixel := range map[string][]float64{repository.ColorRGBA: {200, 100, 50}, repository.ColorBGRA: {50, 100, 200}} {
				in := repository.Input{Width: 40, Height: 23, Resize: repository.Letterbox, Layout: layout, DType: dtype,
					Color: order, Scale: scale, Mean: mean, Std: std, Fill: fill}
				plan := mustPlan(t, in)
				if plan.RowBytes() != 4*40*23*dtype.Size() {
					t.Fatalf("a row has %d bytes", plan.RowBytes())
				}
				for what, data := range map[string][]byte{"a PNG with alpha": fading, "a PNG without": opaquePNG} {
					for i, v := range floatsOf(prepared(t, plan, data), dtype) {
						c, x, y := i/(40*23), i%40, i/40%23
						if layout == "nhwc" {
							c, x, y = i%4, i/4%40, i/4/40
						}
						want := fill[c]
						if y >= 1 && y < 21 {
							want = append(pixel, map[string]float64{"a PNG with alpha": float64(4 * x)}[what])[c]
							if c == 3 && what == "a PNG without" {
								want = 255
							}
						}
						want = (want*scale - mean[c%len(mean)]) / std[c%len(std)]
						if math.Abs(v-want) > math.Abs(want)/1024 {
							t.Fatalf("%s, %s %s %s: element %d is %v, want %v", what, layout, dtype, order, i, v, want)
						}
					}
				}
				row := floatsOf(prepared(t, plan, jpeg), dtype)
				want := (255*scale - mean[len(mean)-1]) / std[len(std)-1]
				if v := row[map[string]int{"nchw": 3*40*23 + 11*40 + 20, "nhwc": 4*(11*40+20) + 3}[layout]]; math.Abs(v-want) > 0.01 {
					t.Errorf("%s %s %s: the alpha of a JPEG is %v, want %v", layout, dtype, order, v, want)
				}
			}
		}
	}
}

// TestAlphaIsResizedLikeColors resizes an image whose alpha is its red channel, in every orientation.
func TestAlphaIsResizedLikeColors(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 61, 47))
	for i := range 61 * 47 {
		v := byte(i*7 + i/61*5)
		img.SetNRGBA(i%61, i/61, color.NRGBA{v, 0, 0, max(v, 1)})
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	for mode, in := range modes() {
		in.Color, in.Layout = repository.ColorRGBA, "nchw"
		if len(in.Fill) > 0 {
			in.Fill = []float64{114}
		}
		for orientation := range 9 {
			info := mustInfo(t, out.Bytes())
			info.Orientation = orientation
			row := decoded(t, mustPlan(t, in), out.Bytes(), info)
			red, alpha := row[:32*32], row[3*32*32:]
			for i := range red {
				if d := int(red[i]) - int(alpha[i]); d > 1 || d < -1 {
					t.Fatalf("%s, orientation %d: pixel %d has red %d and alpha %d", mode, orientation, i, red[i], alpha[i])
				}
			}
		}
	}
}

func TestTruncatedAlpha(t *testing.T) {
	data := fadingPNG(t, 40, 20)
	in := bytesInput(8, 8)
	in.Color = repository.ColorRGBA
	plan := mustPlan(t, in)
	if _, err := plan.Decode(t.Context(), data[:len(data)-30], mustInfo(t, data)); err == nil {
		t.Error("a truncated PNG was decoded")
	}
}
