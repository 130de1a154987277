package preprocess

import (
	"path/filepath"
	"strings"
	"testing"

	"fovea/preprocess/header"
)

// heifFiles returns the images of testdata/heif whose format is built in.
func heifFiles(t testing.TB) []string {
	t.Helper()
	var all []string
	for ext, least := range map[string]int{"avif": 40, "heic": 20} {
		files, err := filepath.Glob("testdata/heif/*." + ext)
		if err != nil || len(files) < least {
			t.Fatalf("%d of %s, %v", len(files), ext, err)
		}
		if strings.Contains(header.Allowed, strings.ToUpper(ext)) {
			all = append(all, files...)
		}
	}
	return all
}

// TestAVIFAndHEICMatchPillow compares images that are turned or cropped or have alpha; package heif compares the others.
func TestAVIFAndHEICMatchPillow(t *testing.T) {
	for _, file := range heifFiles(t) {
		if !strings.Contains(file, "turned") && !strings.Contains(file, "cropped") && !strings.Contains(file, "_alpha.") && !strings.Contains(file, "_exif") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, wantSize := pillows(t, file)
			got, size := uprightRGBA(t, read(t, file))
			if size != wantSize {
				t.Fatalf("%v pixels, want %v", size, wantSize)
			}
			if mean, worst := difference(got, want); worst > 3 && !strings.Contains(file, "avif_grid") || mean > 0.5 {
				t.Errorf("differs from Pillow by up to %d, %.2f in the mean", worst, mean)
			}
		})
	}
}
