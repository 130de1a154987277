package preprocess

import (
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/repository"
)

// The allowed difference from Pillow, in steps of 255: the mean over all values, and the maximum. The
// resizing differs at edges (INTER_AREA against Pillow's triangle; see scaler), and libjpeg-turbo and libwebp are
// not the same releases.
const (
	meanTolerance  = 2.5
	worstTolerance = 48
)

// tolerance is wider for black-and-white images, whose edges have the maximum contrast, and for BMP of 5 bits per channel,
// whose 31 becomes 248 in OpenCV and 255 in Pillow.
func tolerance(name string) (mean float64, worst int) {
	switch {
	case strings.Contains(name, "1bit"):
		return 2 * meanTolerance, 64
	case name == "webp_animated_small.webp": // a frame has edges as high against the black around it
		return 2 * meanTolerance, 64
	case name == "bmp_555.bmp", name == "bmp_565.bmp":
		return 2 * meanTolerance, worstTolerance
	}
	return meanTolerance, worstTolerance
}

// modes are the three results that each golden holds, in their order.
func modes() map[string]repository.Input {
	stretch, crop, letterbox := bytesInput(32, 32), bytesInput(32, 32), bytesInput(32, 32)
	crop.Resize, crop.ShortestEdge = repository.ShortestEdge, 36
	letterbox.Resize, letterbox.Fill = repository.Letterbox, []float64{114}
	return map[string]repository.Input{"stretch": stretch, "shortest_edge": crop, "letterbox": letterbox}
}

var modeOrder = []string{"stretch", "shortest_edge", "letterbox"}

func golden(t testing.TB, name, mode string) []byte {
	t.Helper()
	all := read(t, "testdata", "goldens", strings.Split(name, ".")[0]+".rgb")
	const size = 3 * 32 * 32
	for i, m := range modeOrder {
		if m == mode {
			return all[i*size : (i+1)*size]
		}
	}
	t.Fatalf("no golden of mode %s", mode)
	return nil
}

func TestImagesMatchPillow(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d images, %v", len(files), err)
	}
	for mode, in := range modes() {
		plan := mustPlan(t, in)
		for _, file := range files {
			name := filepath.Base(file)
			t.Run(mode+"/"+name, func(t *testing.T) {
				mean, worst := difference(prepared(t, plan, read(t, file)), golden(t, name, mode))
				t.Logf("mean %.2f, worst %d", mean, worst)
				if allowedMean, allowedWorst := tolerance(name); mean > allowedMean || worst > allowedWorst {
					t.Errorf("differs from Pillow by %.2f in the mean and %d at worst; allowed are %v and %v", mean, worst, allowedMean, allowedWorst)
				}
			})
		}
	}
}

// TestToleranceFindsErrors checks that each of these errors exceeds the tolerance.
func TestToleranceFindsErrors(t *testing.T) {
	data := read(t, "testdata", "images", "jpeg_exif6.jpg")
	for mode, in := range modes() {
		want := golden(t, "jpeg_exif6.jpg", mode)
		bgr := in
		bgr.Color = "bgr"
		plan := mustPlan(t, in)
		wrong := map[string][]byte{
			"blue and red swapped":     prepared(t, mustPlan(t, bgr), data),
			"one pixel to the right":   shifted(prepared(t, plan, data), 3),
			"one pixel further down":   shifted(prepared(t, plan, data), 3*32),
			"the second frame instead": inverted(prepared(t, plan, data)),
		}
		for orientation := range 9 {
			if orientation == 6 {
				continue
			}
			info := mustInfo(t, data)
			info.Orientation = orientation
			wrong["orientation "+string(rune('0'+orientation))] = decoded(t, plan, data, info)
		}
		for mistake, row := range wrong {
			mean, worst := difference(row, want)
			if mean <= meanTolerance && worst <= worstTolerance {
				t.Errorf("%s: %s differs only by %.2f in the mean and %d at worst", mode, mistake, mean, worst)
			}
		}
	}
}

func shifted(row []byte, by int) []byte {
	return append(row[:by:by], row[:len(row)-by]...)
}

func inverted(row []byte) []byte {
	for i := range row {
		row[i] = 255 - row[i]
	}
	return row
}
