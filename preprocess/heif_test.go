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

// worstOfHEIF is how far from Pillow's a pixel may be. libavif converts by libyuv, whose weights have six bits and end at 2.
func worstOfHEIF(file string) (worst int, mean float64) {
	switch name := filepath.Base(file); {
	case strings.HasPrefix(name, "heic"):
		return 1, 0.4
	case strings.HasPrefix(name, "avif_grid"):
		return 12, 0.2 // chroma is not interpolated from tile to tile
	case strings.HasPrefix(name, "avif_named"):
		return 10, 0.8 // 2.11 times chroma
	case strings.HasPrefix(name, "avif_multiplied"):
		return 6, 0.5
	}
	return 3, 0.5
}

func TestAVIFAndHEICMatchPillow(t *testing.T) {
	for _, file := range heifFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, wantSize := pillows(t, file)
			got, size := uprightRGBA(t, read(t, file))
			if size != wantSize {
				t.Fatalf("%v pixels, want %v", size, wantSize)
			}
			mostWorst, mostMean := worstOfHEIF(file)
			if mean, worst := difference(got, want); worst > mostWorst || mean > mostMean {
				t.Errorf("differs from Pillow by up to %d, %.2f in the mean", worst, mean)
			}
		})
	}
}
