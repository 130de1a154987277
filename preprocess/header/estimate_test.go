package header

import (
	"testing"
	"time"
)

func TestTheEstimateTellsLargeImagesFromOthers(t *testing.T) {
	script := script(markerSOF2, 7000, 7000, []byte{0x11, 0x11, 0x11}, libjpegColour...)
	progressive, err := Read(append(script, 0xFF, markerEOI), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		info     Info
		size     int
		from, to time.Duration
	}{
		"a photograph of 12 megapixels":    {Info{Format: JPEG, Width: 4000, Height: 3000}, 3 << 20, 10 * time.Millisecond, 100 * time.Millisecond},
		"a photograph of 50 megapixels":    {Info{Format: JPEG, Width: 8000, Height: 6250}, 14 << 20, 200 * time.Millisecond, time.Second},
		"the same, progressive":            {progressive, 14 << 20, 600 * time.Millisecond, 2 * time.Second},
		"a small photograph":               {Info{Format: JPEG, Width: 640, Height: 480}, 80_000, 0, 5 * time.Millisecond},
		"a PNG of 50 megapixels":           {Info{Format: PNG, Width: 8000, Height: 6250}, 200_000, 300 * time.Millisecond, time.Second},
		"a WebP of 38 bytes, 50 megapixel": {Info{Format: WebP, Width: 16383, Height: 3051}, 38, 300 * time.Millisecond, time.Second},
	} {
		if got := c.info.Estimate(c.size); got < c.from || got > c.to {
			t.Errorf("%s: %v, want %v to %v", what, got, c.from, c.to)
		}
	}
}
