package preprocess

import (
	"path/filepath"
	"strings"
	"testing"

	"fovea/models"
)

// What a result may differ from Pillow's, in steps of 255: the mean over all values, and the worst one. The
// resizing differs at edges (INTER_AREA against Pillow's triangle; see scaler), and libjpeg-turbo and libwebp are
// not the same releases.
const (
	meanTolerance  = 2.5
	worstTolerance = 48
)

// modes are the three results that each golden holds, in their order.
func modes() map[string]models.Input {
	stretch, crop, letterbox := bytesInput(32, 32), bytesInput(32, 32), bytesInput(32, 32)
	crop.Resize, crop.ShortestEdge = models.ShortestEdge, 36
	letterbox.Resize, letterbox.Fill = models.Letterbox, []float64{114}
	return map[string]models.Input{"stretch": stretch, "shortest_edge": crop, "letterbox": letterbox}
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

func TestEveryKindOfPictureIsWhatPillowMakesOfIt(t *testing.T) {
	files, err := filepath.Glob("testdata/pictures/*")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	for mode, in := range modes() {
		plan := mustPlan(t, in)
		for _, file := range files {
			name := filepath.Base(file)
			t.Run(mode+"/"+name, func(t *testing.T) {
				mean, worst := difference(prepared(t, plan, read(t, file)), golden(t, name, mode))
				t.Logf("mean %.2f, worst %d", mean, worst)
				if mean > meanTolerance || worst > worstTolerance {
					t.Errorf("differs from Pillow by %.2f in the mean and %d at worst; allowed are %v and %v", mean, worst, meanTolerance, worstTolerance)
				}
			})
		}
	}
}
