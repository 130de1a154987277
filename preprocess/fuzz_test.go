package preprocess

import (
	"bytes"
	"path/filepath"
	"testing"

	"gocv.io/x/gocv"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/header"
)

// FuzzDecode decodes corrupt images. Nothing may crash, and the result must not depend on the previous contents of memory, which
// may be another request's image.
func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"testdata/images/*", "testdata/alpha/*.webp", "testdata/formats/*.[gt]if"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(err)
		}
		for _, file := range files {
			f.Add(read(f, file))
		}
	}
	plans := wholeAndCrop(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		info, err := header.Read(data, header.Limits{MaxPixels: 1 << 16})
		if err != nil {
			return
		}
		for _, plan := range plans {
			black, blackErr := overMemoryOf(t, plan, data, info, 0)
			white, whiteErr := overMemoryOf(t, plan, data, info, 255)
			if (blackErr == nil) != (whiteErr == nil) || !bytes.Equal(black, white) {
				t.Fatalf("the result depends on the memory: %v, %v", blackErr, whiteErr)
			}
		}
		if n := Live(); n != 0 {
			t.Fatalf("%d native matrices are left", n)
		}
	})
}

// wholeAndCrop are plans that read all of an image, its middle, and its alpha.
func wholeAndCrop(t testing.TB) []*Plan {
	alpha := bytesInput(16, 16)
	alpha.Color, alpha.ResizeWidth, alpha.ResizeHeight, alpha.Interpolation = repository.ColorRGBA, 20, 12, repository.PillowBilinear
	middle := bytesInput(16, 16)
	middle.Resize, middle.ShortestEdge = repository.ShortestEdge, 40
	return []*Plan{mustPlan(t, bytesInput(16, 16)), mustPlan(t, middle), mustPlan(t, alpha)}
}

// overMemoryOf decodes after memory of the image's size was filled with a value and freed, and returns the packed row and all
// pixels that the plan reads.
func overMemoryOf(t *testing.T, plan *Plan, data []byte, info header.Info, value float64) ([]byte, error) {
	dirty(info.Width, info.Height, value)
	img, err := plan.Decode(t.Context(), data, info)
	if err != nil {
		if code := apierror.From(err).Code; code != apierror.Undecodable {
			t.Fatalf("code %s: %v", code, err)
		}
		return nil, err
	}
	defer img.Close()
	row := poisoned(plan.RowBytes())
	if _, err := plan.Pack(img, row); err != nil {
		t.Fatal(err)
	}
	region := own(img.mat.Region(plan.resampling(img, img.mat.Cols(), img.mat.Rows()).sourceRect()))
	defer region.free()
	alone := own(region.Clone()) // without gaps between the rows
	defer alone.free()
	return append(row, alone.ToBytes()...), nil
}

// dirty fills memory of an image's size with a value and frees it.
func dirty(width, height int, value float64) {
	for range 3 {
		m := gocv.NewMatWithSizeFromScalar(gocv.NewScalar(value, value, value, value), height, width, gocv.MatTypeCV8UC3)
		_ = m.Close()
	}
}
