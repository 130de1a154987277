package preprocess

import (
	"bytes"
	"context"
	"errors"
	"image"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/internal/testenv"
	"fovea/preprocess/gif"
	"fovea/preprocess/header"
	"fovea/preprocess/tiff"
)

// uprightRGBA returns the decoded image, orientation-corrected, as red, green, blue and alpha.
func uprightRGBA(t testing.TB, data []byte) ([]byte, image.Point) {
	t.Helper()
	width, height := mustInfo(t, data).OrientedSize()
	return prepared(t, uprightPlan(t, data), data), image.Pt(width, height)
}

// uprightPlan is a plan of an image's own size, with alpha.
func uprightPlan(t testing.TB, data []byte) *Plan {
	t.Helper()
	in := bytesInput(mustInfo(t, data).OrientedSize())
	in.Color = repository.ColorRGBA
	return mustPlan(t, in)
}

// pillows returns the pixels of a golden of testdata/formats.
func pillows(t testing.TB, file string) ([]byte, image.Point) {
	t.Helper()
	straight := testenv.Golden(t, file)
	return straight.Pix, straight.Bounds().Size()
}

// formatFiles returns the images of testdata/formats.
func formatFiles(t testing.TB) []string {
	t.Helper()
	var all []string
	for ext, least := range map[string]int{"gif": 18, "tif": 72} {
		files, err := filepath.Glob("testdata/formats/*." + ext)
		if err != nil || len(files) < least {
			t.Fatalf("%d of %s, %v", len(files), ext, err)
		}
		all = append(all, files...)
	}
	return all
}

// worstOf is how far from Pillow's a pixel may be: nothing, but for the rounding of libjpeg releases.
func worstOf(file string) int {
	if strings.Contains(file, "jpeg") {
		return 2
	}
	return 0
}

func TestGIFAndTIFFMatchPillow(t *testing.T) {
	for _, file := range formatFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, wantSize := pillows(t, file)
			got, size := uprightRGBA(t, read(t, file))
			if size != wantSize {
				t.Fatalf("%v pixels, want %v", size, wantSize)
			}
			if mean, worst := difference(got, want); worst > worstOf(file) {
				t.Errorf("differs from Pillow by up to %d, %.2f in the mean", worst, mean)
			}
		})
	}
}

// TestGIFAndTIFFAreCompleteWithTheirRows truncates images anywhere: either all pixels are there, or the error is the client's.
func TestGIFAndTIFFAreCompleteWithTheirRows(t *testing.T) {
	for _, file := range formatFiles(t) {
		data := read(t, file)
		whole, _ := uprightRGBA(t, data)
		plan := uprightPlan(t, data)
		for n := len(data) - 1; n > 8; n -= 1 + n/60 {
			row, err := rowOf(t, plan, data[:n])
			if err == nil && !bytes.Equal(row, whole) {
				t.Errorf("%s cut to %d of %d bytes: half an image was decoded", file, n, len(data))
			}
			if f := apierror.From(err); err != nil && (f.Code != apierror.Undecodable || !strings.Contains(f.Message, "truncated")) {
				t.Errorf("%s cut to %d of %d bytes: %v", file, n, len(data), err)
			}
		}
	}
}

// TestTIFFPixelsDoNotDependOnTheirStorage compares images of the same pixels in strips, tiles and planes, plain and compressed.
func TestTIFFPixelsDoNotDependOnTheirStorage(t *testing.T) {
	want, _ := uprightRGBA(t, read(t, "testdata/formats/tiff_raw_rgb.tif"))
	same := 0
	for _, file := range formatFiles(t) {
		name := filepath.Base(file)
		isRGB := strings.HasSuffix(name, "_rgb.tif") || strings.Contains(name, "tiff_strips_") || strings.Contains(name, "tiff_tiles_") ||
			strings.Contains(name, "tiff_planes_") || strings.Contains(name, "tiff_orientation")
		if !isRGB || strings.Contains(name, "jpeg") {
			continue
		}
		same++
		if got, _ := uprightRGBA(t, read(t, file)); !bytes.Equal(got, want) {
			t.Errorf("%s has other pixels", name)
		}
	}
	if same < 25 {
		t.Errorf("only %d files", same)
	}
}

// TestDecodingStopsWithItsContext ends the context before a decode, for each compression.
func TestDecodingStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"gif_plain.gif", "tiff_raw_rgb.tif", "tiff_tiles_lzw.tif", "tiff_adobe_deflate_rgb.tif", "tiff_packbits_rgb.tif", "tiff_jpeg_rgb.tif"} {
		data := read(t, "testdata", "formats", name)
		info := mustInfo(t, data)
		pixels := make([]byte, 3*info.Width*info.Height)
		decode := tiff.Decode
		if info.Format == header.GIF {
			decode = gif.Decode
		}
		if err := decode(ctx, data, pixels, info.Width, info.Height); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
