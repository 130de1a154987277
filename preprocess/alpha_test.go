package preprocess

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/header"
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

// alphaOf is the alpha plane of an image in its own size.
func alphaOf(t *testing.T, data []byte) []byte {
	t.Helper()
	info := mustInfo(t, data)
	in := bytesInput(info.Width, info.Height)
	in.Color, in.Layout = repository.ColorRGBA, "nchw"
	return prepared(t, mustPlan(t, in), data)[3*info.Width*info.Height:]
}

func TestAlphaOfWebPEqualsPillow(t *testing.T) {
	files, err := filepath.Glob("testdata/alpha/webp_*.a")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".a") + ".webp"
		folder := "images"
		if strings.HasSuffix(name, "noise.webp") || strings.HasSuffix(name, "values.webp") {
			folder = "alpha"
		}
		if got := alphaOf(t, read(t, "testdata", folder, name)); !bytes.Equal(got, read(t, file)) {
			t.Errorf("%s: alpha differs from Pillow's", name)
		}
	}
	for _, name := range []string{"webp_lossy.webp", "webp_lossless.webp", "webp_animated.webp"} {
		if slices.Min(alphaOf(t, read(t, "testdata", "images", name))) != opaque {
			t.Errorf("%s is not opaque", name)
		}
	}
}

func TestAlphaOfBMPEqualsPillow(t *testing.T) {
	if got := alphaOf(t, read(t, "testdata", "images", "bmp_v5_alpha.bmp")); !bytes.Equal(got, read(t, "testdata", "alpha", "bmp_v5_alpha.a")) {
		t.Error("alpha differs from Pillow's")
	}
	if slices.Min(alphaOf(t, read(t, "testdata", "images", "bmp_32.bmp"))) != opaque {
		t.Error("a BMP without a mask of alpha is not opaque")
	}
}

// TestTransparentPixelsCountLess compares with Pillow's resize of an image with an alpha channel.
func TestTransparentPixelsCountLess(t *testing.T) {
	const width, height = 17, 21
	golden, data := read(t, "testdata", "alpha", "noise.rgba"), read(t, "testdata", "alpha", "noise.png")
	for _, interpolation := range []string{repository.PillowBox, repository.PillowBilinear, repository.PillowHamming, repository.PillowBicubic,
		repository.PillowLanczos, repository.PillowNearest} {
		in := bytesInput(width, height)
		in.Color, in.Layout, in.Interpolation = repository.ColorRGBA, "nhwc", interpolation
		plan, want := mustPlan(t, in), golden[:4*width*height]
		golden = golden[4*width*height:]
		if got := prepared(t, plan, data); !bytes.Equal(got, want) {
			t.Errorf("%s differs from Pillow", interpolation)
		}
		img, err := plan.Decode(t.Context(), data, mustInfo(t, data))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			row := make([]byte, plan.RowBytes())
			if _, err := plan.Pack(img, row); err != nil || !bytes.Equal(row, want) {
				t.Errorf("%s differs when it is packed again, %v", interpolation, err)
			}
		}
		img.Close()
	}
}

// TestTransparentCanvas: the first frame of webp_animated_small.webp does not fill its canvas.
func TestTransparentCanvas(t *testing.T) {
	data := slices.Clone(read(t, "testdata", "images", "webp_animated_small.webp"))
	at := bytes.Index(data, []byte("VP8X")) + 8
	data[at] |= 0x10
	info := mustInfo(t, data)
	for i, v := range alphaOf(t, data) {
		want := byte(0)
		if image.Pt(i%info.Width, i/info.Width).In(info.Frame) {
			want = opaque
		}
		if v != want {
			t.Fatalf("the alpha of pixel %d is %d, want %d", i, v, want)
		}
	}
}

// withALPH is webp_lossy.webp, of 96×72 pixels, with an ALPH chunk.
func withALPH(t *testing.T, body []byte) []byte {
	t.Helper()
	lossy := read(t, "testdata", "images", "webp_lossy.webp")
	info := mustInfo(t, lossy)
	chunk := func(kind string, body []byte) []byte {
		out := append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(body))), body...)
		return append(out, make([]byte, len(body)%2)...)
	}
	extended := []byte{0x10, 0, 0, 0, 95, 0, 0, 71, 0, 0}
	chunks := slices.Concat([]byte("WEBP"), chunk("VP8X", extended), chunk("ALPH", body), header.Chunk(lossy, info))
	return chunk("RIFF", chunks)
}

// TestAlphaFilters writes uncompressed alpha with each filter: value minus prediction (RFC 9649, 2.7.1.2).
func TestAlphaFilters(t *testing.T) {
	const w, h = 96, 72
	want := make([]byte, w*h)
	for i := range want {
		want[i] = byte(i*i/7 + i%w*3)
	}
	at := func(x, y int) int { return int(want[y*w+x]) }
	predictions := []func(x, y int) int{
		func(int, int) int { return 0 },
		func(x, y int) int { return at(x-1, y) },
		func(x, y int) int { return at(x, y-1) },
		func(x, y int) int { return max(0, min(at(x-1, y)+at(x, y-1)-at(x-1, y-1), 255)) },
	}
	for filter, predict := range predictions {
		body := []byte{byte(filter << 2)}
		for y := range h {
			for x := range w {
				prediction := 0
				switch {
				case filter == 0 || x == 0 && y == 0:
				case x == 0:
					prediction = at(0, y-1)
				case y == 0:
					prediction = at(x-1, 0)
				default:
					prediction = predict(x, y)
				}
				body = append(body, byte(at(x, y)-prediction))
			}
		}
		if got := alphaOf(t, withALPH(t, body)); !bytes.Equal(got, want) {
			t.Errorf("filter %d: the alpha differs", filter)
		}
	}
}

func TestCorruptAlphaOfWebP(t *testing.T) {
	in := bytesInput(8, 8)
	opaqueInput := mustPlan(t, in)
	in.Color = repository.ColorRGBA
	plan := mustPlan(t, in)
	for what, body := range map[string][]byte{
		"no byte": {}, "too few values": make([]byte, 96*72), "an unknown compression": append([]byte{2}, make([]byte, 96*72)...),
		"a lossless image that ends": {1, 0},
	} {
		data := withALPH(t, body)
		if _, err := plan.Decode(t.Context(), data, mustInfo(t, data)); err == nil || apierror.From(err).Code != apierror.Undecodable {
			t.Errorf("%s: %v", what, err)
		}
		prepared(t, opaqueInput, data) // which does not read it
	}
}
