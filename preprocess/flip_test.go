package preprocess

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"gocv.io/x/gocv"

	"fovea/preprocess/header"
)

// TestMemoryIsReused shows that the other test can fail: new memory holds what dirty put there.
func TestMemoryIsReused(t *testing.T) {
	for _, value := range []float64{0, 255} {
		dirty(96, 72, value)
		m := gocv.NewMatWithSizes([]int{72, 96}, gocv.MatTypeCV8UC3) // not initialized
		pixels, err := m.DataPtrUint8()
		if err != nil || bytes.Count(pixels, []byte{byte(value)}) < len(pixels)*9/10 {
			t.Errorf("memory filled with %v was not used again: %v", value, err)
		}
		_ = m.Close()
	}
}

// TestFlippedBytesNeverShowOldMemory damages every image at many places, one byte at a time. FOVEA_FLIP_STEP=1
// does it at each place, which takes a minute or two.
func TestFlippedBytesNeverShowOldMemory(t *testing.T) {
	step := 61
	if s, err := strconv.Atoi(os.Getenv("FOVEA_FLIP_STEP")); err == nil && s > 0 {
		step = s
	}
	files, err := filepath.Glob("testdata/images/*")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	plans := wholeAndCrop(t)
	decoded, refused := 0, 0
	for _, file := range files {
		whole := read(t, file)
		for at := 0; at < len(whole); at += step {
			for _, bits := range []byte{0x01, 0xFF} {
				data := bytes.Clone(whole)
				data[at] ^= bits
				info, err := header.Read(data, header.Limits{MaxPixels: 1 << 20})
				if err != nil {
					refused++
					continue
				}
				for _, plan := range plans {
					black, blackErr := overMemoryOf(t, plan, data, info, 0)
					white, whiteErr := overMemoryOf(t, plan, data, info, 255)
					if (blackErr == nil) != (whiteErr == nil) || !bytes.Equal(black, white) {
						t.Errorf("%s, byte %d ^ %#x: the result depends on the memory: %v, %v", file, at, bits, blackErr, whiteErr)
					}
					if blackErr == nil {
						decoded++
					} else {
						refused++
					}
				}
			}
		}
	}
	t.Logf("%d decoded, %d refused", decoded, refused)
}
