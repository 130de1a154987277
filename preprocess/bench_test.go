package preprocess

import (
	"path/filepath"
	"syscall"
	"testing"

	"fovea/internal/repository"
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
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e3
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
