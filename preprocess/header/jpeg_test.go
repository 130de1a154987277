package header

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/testenv"
)

// TestDataAfterTheLastScanIsIgnored appends typical trailers of cameras to each JPEG, after its end marker and instead
// of it.
func TestDataAfterTheLastScanIsIgnored(t *testing.T) {
	files, err := filepath.Glob("../testdata/images/*.jpg")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	another := testenv.FormatSample(t, "jpeg_cmyk.jpg")
	for _, file := range files {
		data := testenv.FormatSample(t, filepath.Base(file))
		want, err := Read(data, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(data[want.frameEnd:], []byte{0xFF, markerEOI}) {
			t.Errorf("%s: its last scan ends at %d of %d, where no end marker is", file, want.frameEnd, len(data))
		}
		for what, trailer := range map[string][]byte{
			"nothing":                       nil,
			"half of an end marker":         {0xFF},
			"an end marker":                 {0xFF, markerEOI},
			"an end marker and zeros":       append([]byte{0xFF, markerEOI}, make([]byte, 5000)...),
			"another image":                 another,
			"an end marker, another image":  append([]byte{0xFF, markerEOI}, another...),
			"an end marker, a phone's data": append([]byte{0xFF, markerEOI}, "\x00\x00\x01\x0a\x0e\x00\x00\x00Image_UTC_DataSEFH"...),
			"a frame header":                {0xFF, markerSOF0, 0, 11, 8, 0, 9, 0, 9, 1, 1, 0x11, 0},
			"a segment beyond the end":      {0xFF, 0xE0, 0xFF, 0xFF, 1, 2, 3},
			"a scan again":                  {0xFF, markerSOS, 0, 8, 1, 1, 0, 0, 63, 0, 1, 2, 3},
		} {
			got, err := Read(append(bytes.Clone(data[:want.frameEnd]), trailer...), Limits{})
			if got.frameEnd == want.frameEnd+1 && len(trailer) == 1 {
				got.frameEnd--
			}
			if err != nil || got != want {
				t.Errorf("%s with %s behind: %+v, %v; want %+v", file, what, got, err, want)
			}
		}
		// Bytes that are no marker may be the scan's own: where it ends is then known to the decoder alone.
		got, err := Read(append(bytes.Clone(data[:want.frameEnd]), "dhav of a camera"...), Limits{})
		if got.frameEnd -= len("dhav of a camera"); err != nil || got != want {
			t.Errorf("%s with a camera's trailer behind: %+v, %v; want %+v", file, got, err, want)
		}
	}
}

// script is a JPEG's headers: of one scan for each of steps, without their data.
func script(marker byte, width, height int, factors []byte, steps ...[]byte) []byte {
	out := []byte{0xFF, markerSOI, 0xFF, marker, 0, byte(8 + 3*len(factors)), 8, byte(height >> 8), byte(height),
		byte(width >> 8), byte(width), byte(len(factors))}
	for i, f := range factors {
		out = append(out, byte(i+1), f, 0)
	}
	for _, s := range steps {
		members := []byte{s[0]}
		if s[0] == 0 {
			members = nil
			for i := range factors {
				members = append(members, byte(i+1))
			}
		}
		out = append(out, 0xFF, markerSOS, 0, byte(6+2*len(members)), byte(len(members)))
		for _, c := range members {
			out = append(out, c, 0)
		}
		out = append(out, s[1], s[2], s[3]<<4|s[4])
	}
	return out
}

// scripts of writers: a scan's component (0: all), first and last coefficient, bits before and after.
var (
	libjpegColor = [][]byte{{0, 0, 0, 0, 1}, {1, 1, 5, 0, 2}, {3, 1, 63, 0, 1}, {2, 1, 63, 0, 1}, {1, 6, 63, 0, 2},
		{1, 1, 63, 2, 1}, {0, 0, 0, 1, 0}, {3, 1, 63, 1, 0}, {2, 1, 63, 1, 0}, {1, 1, 63, 1, 0}}
)

// ofEach is a script of n components with AC in two bands and refined as often as bits are left out at first.
func ofEach(n int, bits byte) [][]byte {
	steps := [][]byte{{0, 0, 0, 0, 1}, {0, 0, 0, 1, 0}}
	for c := range byte(n) {
		steps = append(steps, []byte{c + 1, 1, 8, 0, bits}, []byte{c + 1, 9, 63, 0, bits})
		for b := bits; b > 0; b-- {
			steps = append(steps, []byte{c + 1, 1, 63, b, b - 1})
		}
	}
	return steps
}

// bands is a script that sends each coefficient of one component in a separate scan, and refines each of them.
func bands(bits byte) [][]byte {
	steps := [][]byte{{1, 0, 0, 0, 0}}
	for k := byte(1); k < 64; k++ {
		steps = append(steps, []byte{1, k, k, 0, bits})
		for b := bits; b > 0; b-- {
			steps = append(steps, []byte{1, k, k, b, b - 1})
		}
	}
	return steps
}

func times(n int, step []byte, then ...[]byte) [][]byte {
	steps := [][]byte{{0, 0, 0, 0, 0}}
	for range n {
		steps = append(steps, step)
	}
	return append(steps, then...)
}

func TestScanWork(t *testing.T) {
	full, half := []byte{0x11, 0x11, 0x11}, []byte{0x22, 0x11, 0x11}
	four, gray := []byte{0x11, 0x11, 0x11, 0x11}, []byte{0x11}
	rest := [][]byte{{1, 1, 63, 0, 0}, {2, 1, 63, 0, 0}, {3, 1, 63, 0, 0}}
	for what, c := range map[string]struct {
		data []byte
		fits bool
	}{
		"libjpeg's script at the limit of pixels":                   {script(markerSOF2, 7070, 7070, full, libjpegColor...), true},
		"the same, color at half of the size":                       {script(markerSOF2, 7070, 7070, half, libjpegColor...), true},
		"three refinements of each of four components at the limit": {script(markerSOF2, 7070, 7070, four, ofEach(4, 3)...), true},
		"the same in gray, long and narrow":                         {script(markerSOF2, 770, 64900, gray, ofEach(1, 3)...), true},
		"six refinements at the limit":                              {script(markerSOF2, 7070, 7070, full, ofEach(3, 6)...), false},
		"six refinements of half as many pixels":                    {script(markerSOF2, 5000, 5000, full, ofEach(3, 6)...), true},
		"63 bands at the limit":                                     {script(markerSOF2, 7070, 7070, gray, bands(0)...), false},
		"63 bands of 10 megapixels":                                 {script(markerSOF2, 3600, 2700, gray, bands(0)...), true},
		"63 bands of 14 bits, 0.1 megapixels":                       {script(markerSOF2, 320, 320, gray, bands(13)...), true},
		"100 scans of a small image":                                {script(markerSOF2, 640, 480, full, times(100, []byte{1, 1, 63, 1, 0}, rest...)...), true},
		"100 scans of empty bands at the limit":                     {script(markerSOF2, 7070, 7070, full, times(100, []byte{1, 1, 63, 1, 0}, rest...)...), false},
		"100 scans of DC at the limit":                              {script(markerSOF2, 7070, 7070, full, times(100, []byte{0, 0, 0, 0, 0}, rest...)...), false},
		"sequential, a scan for each component":                     {script(markerSOF0, 7070, 7070, full, []byte{1, 0, 63, 0, 0}, []byte{2, 0, 63, 0, 0}, []byte{3, 0, 63, 0, 0}), true},
		"sequential, one component 20 times":                        {script(markerSOF0, 7070, 7070, full, times(20, []byte{1, 0, 63, 0, 0}, []byte{2, 0, 63, 0, 0}, []byte{3, 0, 63, 0, 0})[1:]...), false},
		"60,000 scans of one block":                                 {script(markerSOF2, 8, 8, full, times(60_000, []byte{1, 1, 63, 2, 1}, rest...)...), true},
		"one column, whose units are 16 wide":                       {script(markerSOF2, 1, 65000, half, libjpegColor...), true},
	} {
		_, err := Read(c.data, Limits{})
		var f *apierror.Error
		switch {
		case c.fits && err != nil && !strings.Contains(err.Error(), "truncated"):
			t.Errorf("%s: %v", what, err)
		case !c.fits && (!errors.As(err, &f) || f.Code != apierror.ImageTooLarge || !strings.Contains(f.Message, "times the work allowed")):
			t.Errorf("%s: %v, want it refused", what, err)
		}
	}
}

func TestScanWorkLimitScalesWithMaxPixels(t *testing.T) {
	for _, c := range []struct {
		side  int
		limit int64
		fits  bool
	}{
		{2000, 4_000_000, true}, {2000, 0, true}, {500, 500 * 500, true}, {16, 256, true},
	} {
		data := script(markerSOF2, c.side, c.side, []byte{0x22, 0x11, 0x11}, libjpegColor...)
		if _, err := Read(data, Limits{MaxPixels: c.limit}); (err == nil) != c.fits {
			t.Errorf("%d×%d, limit %d: %v", c.side, c.side, c.limit, err)
		}
	}
	data := script(markerSOF2, 2000, 2000, []byte{0x11}, bands(0)...)
	if _, err := Read(data, Limits{MaxPixels: 4_000_000}); err == nil {
		t.Error("63 scans at a limit of 4 megapixels are accepted")
	}
	if _, err := Read(data, Limits{}); err != nil {
		t.Errorf("63 scans of 4 of 50 megapixels: %v", err)
	}
}

// BenchmarkWalk walks 16 MiB of data that a walk might visit more than once.
func BenchmarkWalk(b *testing.B) {
	for name, unit := range map[string][]byte{
		"stuffed bytes": {0xFF, 0}, "fill bytes": {0xFF}, "restart markers": {0xFF, markerRST0}, "zeros": {0},
		"SOI": {0xFF, markerSOI}, "comments": {0xFF, 0xFE, 0, 2},
	} {
		data := bytes.Repeat(unit, 16<<20/len(unit))
		data = append([]byte{0xFF, markerSOI}, data...)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				_, _ = Read(data, Limits{})
			}
		})
	}
}
