package preprocess

import (
	"fmt"
	"image"
	"path/filepath"
	"testing"

	"fovea/internal/repository"
	"fovea/internal/testenv"
)

// classifier is a typical input of an ImageNet model.
func classifier() repository.Input {
	return repository.Input{
		Width: 224, Height: 224, Resize: repository.ShortestEdge, ShortestEdge: 256, DType: repository.Float32, Scale: 1.0 / 255,
		Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225},
	}
}

// cpuTime is the CPU time of the process in microseconds, which also works on a busy machine.
func cpuTime(b *testing.B) float64 {
	b.Helper()
	return float64(testenv.CPUTime(b).Nanoseconds()) / 1e3
}

func BenchmarkDecodeAndPack(b *testing.B) {
	plan := mustPlan(b, classifier())
	images := map[string][]byte{
		"photo 600x400":   read(b, "testdata", "coffee.jpg"),
		"photo 2592x1944": largePhoto(b),
	}
	for _, name := range []string{"jpeg_cmyk.jpg", "jpeg_exif6.jpg", "png_rgb16.png", "png_interlaced.png", "webp_lossy.webp", "webp_animated.webp", "bmp_24.bmp"} {
		images[name+" 96x72"] = read(b, "testdata", filepath.Join("images", name))
	}
	row := make([]byte, plan.RowBytes())
	for name, data := range images {
		info := mustInfo(b, data)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			start := cpuTime(b)
			for b.Loop() {
				img, err := plan.Decode(b.Context(), data, info)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := plan.Pack(img, row); err != nil {
					b.Fatal(err)
				}
				img.Close()
			}
			b.ReportMetric((cpuTime(b)-start)/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(Live()), "live")
		})
	}
}

// BenchmarkReducedDecoding decodes and packs large JPEGs for a classifier and a detector, each time once with decode: exact and
// once with decode: fast, and reports the CPU time of both, and how many times that of the latter the former's is.
func BenchmarkReducedDecoding(b *testing.B) {
	detector := repository.Input{Width: 640, Height: 640, Resize: repository.Letterbox, DType: repository.Float32, Interpolation: repository.OpenCVLinear}
	area, pillow := classifier(), classifier()
	area.Interpolation, pillow.Interpolation = repository.AreaLinear, repository.PillowBilinear
	for _, size := range []image.Point{{1280, 720}, {4000, 3000}} {
		data := photo(b, size.X, size.Y)
		for _, in := range []repository.Input{area, pillow, detector} {
			in.Decode = repository.DecodeExact
			exact := mustPlan(b, in)
			in.Decode = repository.DecodeFast
			benchmarkBoth(b, fmt.Sprintf("%s %dx%d", in.Interpolation, size.X, size.Y), data, exact, mustPlan(b, in))
		}
	}
}

// benchmarkBoth decodes and packs an image with two plans in turn.
func benchmarkBoth(b *testing.B, name string, data []byte, exact, fast *Plan) {
	info := mustInfo(b, data)
	row := make([]byte, exact.RowBytes())
	timed := func(p *Plan) float64 {
		start := cpuTime(b)
		img, err := p.Decode(b.Context(), data, info)
		if err != nil {
			b.Fatal(err)
		}
		defer img.Close()
		if _, err := p.Pack(img, row); err != nil {
			b.Fatal(err)
		}
		return cpuTime(b) - start
	}
	b.Run(name, func(b *testing.B) {
		var sums [2]float64
		for b.Loop() {
			sums[0] += timed(exact)
			sums[1] += timed(fast)
		}
		b.ReportMetric(sums[0]/float64(b.N), "exact-µs")
		b.ReportMetric(sums[1]/float64(b.N), "fast-µs")
		b.ReportMetric(sums[0]/sums[1], "ratio")
	})
}

// BenchmarkPack packs an image that needs no resizing: the tables alone.
func BenchmarkPack(b *testing.B) {
	for _, layout := range []string{"nchw", "nhwc"} {
		for _, dtype := range []repository.DType{repository.Float32, repository.Float16, repository.Uint8} {
			in := classifier()
			in.Resize, in.ShortestEdge, in.Layout, in.DType = repository.Stretch, 0, layout, dtype
			if dtype == repository.Uint8 {
				in.Scale, in.Mean, in.Std = 1, nil, nil
			}
			plan := mustPlan(b, in)
			data := encodedPNG(b, 224, 224)
			img, err := plan.Decode(b.Context(), data, mustInfo(b, data))
			if err != nil {
				b.Fatal(err)
			}
			row := make([]byte, plan.RowBytes())
			b.Run(layout+"/"+string(dtype), func(b *testing.B) {
				b.ReportAllocs()
				start := cpuTime(b)
				for b.Loop() {
					if _, err := plan.Pack(img, row); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric((cpuTime(b)-start)/float64(b.N), "cpu-µs/op")
			})
			img.Close()
		}
	}
}

// BenchmarkInterpolation resizes an image of 1280×720 pixels for a letterbox of 640, each time once with area_linear and once with
// another interpolation. It reports the CPU time of both, and how many times that of area_linear the other's is: of resizing
// alone, and of packing, which includes it.
func BenchmarkInterpolation(b *testing.B) {
	const w, h = 1280, 720
	data := pngOf(b, noisy(w, h))
	info := mustInfo(b, data)
	plan := func(interpolation string) (*Plan, *Image) {
		p := mustPlan(b, repository.Input{
			Width: 640, Height: 640, Resize: repository.Letterbox, DType: repository.Float32, Interpolation: interpolation,
		})
		img, err := p.Decode(b.Context(), data, info)
		if err != nil {
			b.Fatal(err)
		}
		return p, img
	}
	area, areaImage := plan(repository.AreaLinear)
	defer areaImage.Close()
	row := make([]byte, area.RowBytes())
	timed := func(p *Plan, img *Image) (resize, pack float64) {
		start := cpuTime(b)
		_, scaled, err := p.resized(img, img.mat)
		if err != nil {
			b.Fatal(err)
		}
		scaled.free()
		middle := cpuTime(b)
		if _, err := p.Pack(img, row); err != nil {
			b.Fatal(err)
		}
		return middle - start, cpuTime(b) - middle
	}
	for _, interpolation := range repository.Interpolations() {
		b.Run(interpolation, func(b *testing.B) {
			other, img := plan(interpolation)
			defer img.Close()
			var sum [4]float64
			for b.Loop() {
				resize, pack := timed(area, areaImage)
				sum[0], sum[1] = sum[0]+resize, sum[1]+pack
				resize, pack = timed(other, img)
				sum[2], sum[3] = sum[2]+resize, sum[3]+pack
			}
			b.ReportMetric(sum[2]/float64(b.N), "resize-µs")
			b.ReportMetric(sum[2]/sum[0], "resize-ratio")
			b.ReportMetric(sum[3]/float64(b.N), "pack-µs")
			b.ReportMetric(sum[3]/sum[1], "pack-ratio")
		})
	}
}
