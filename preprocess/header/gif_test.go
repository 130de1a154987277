package header

import (
	"bytes"
	"errors"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/apierror"
)

// sample is an image of preprocess/testdata/formats.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../testdata/formats", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestGIFHeaders(t *testing.T) {
	for name, want := range map[string]struct {
		width, height int
		frame         image.Rectangle
		transparent   int
		interlaced    bool
		codeSize      int
	}{
		"gif_four.gif":             {45, 34, image.Rect(0, 0, 45, 34), -1, false, 2},
		"gif_part_transparent.gif": {45, 34, image.Rect(7, 5, 37, 25), 2, false, 2},
		"gif_part_interlaced.gif":  {45, 34, image.Rect(7, 5, 37, 24), 1, true, 2},
		"gif_beyond.gif":           {45, 34, image.Rect(9, 4, 45, 34), 0, false, 2},
		"gif_extensions.gif":       {45, 34, image.Rect(0, 0, 45, 34), 3, false, 2},
	} {
		gif, err := ParseGIF(sample(t, name))
		if err != nil || gif.Width != want.width || gif.Height != want.height || gif.Frame != want.frame || gif.Transparent != want.transparent ||
			gif.Interlaced != want.interlaced || gif.CodeSize != want.codeSize {
			t.Errorf("%s: %+v, %v; want %+v", name, gif, err, want)
		}
	}
	for name, channels := range map[string]int{"gif_four.gif": 3, "gif_transparent.gif": 4} {
		info, err := Read(sample(t, name), Limits{})
		if want := (Info{Format: GIF, Width: 45, Height: 34, Orientation: 1, BitDepth: 8, Channels: channels, Progressive: info.Progressive}); err != nil || info != want {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
}

func TestGIFErrors(t *testing.T) {
	four := sample(t, "gif_four.gif")
	frame := 13 + 12 // behind the palette of four colors
	for what, c := range map[string]struct {
		data    []byte
		code    apierror.Code
		message string
	}{
		"its signature only":       {four[:6], apierror.Undecodable, "GIF is truncated"},
		"half a palette":           {four[:20], apierror.Undecodable, "GIF is truncated"},
		"no frame":                 {append(bytes.Clone(four[:frame]), ';'), apierror.Undecodable, "GIF is corrupt: it has no frame"},
		"half a frame's header":    {four[:frame+6], apierror.Undecodable, "GIF is truncated"},
		"an extension without end": {append(bytes.Clone(four[:frame]), '!', 0xFE, 5, 'a'), apierror.Undecodable, "GIF is truncated"},
		"a frame without width":    {changed(four, frame+5, 0, 0), apierror.Undecodable, "its first frame is 0×34 pixels"},
		"codes of 13 bits":         {changed(four, frame+10, 12), apierror.Undecodable, "its codes begin with 12 bits, not 2 to 8"},
		"codes of a bit":           {changed(four, frame+10, 1), apierror.Undecodable, "its codes begin with 1 bits"},
		"4 gigapixels":             {changed(four, 6, 255, 255, 255, 255), apierror.ImageTooLarge, "(65535×65535)"},
		"a frame of 4 gigapixels":  {changed(four, frame+5, 255, 255, 255, 255), apierror.ImageTooLarge, "(65535×65535)"},
	} {
		info, err := Read(c.data, Limits{})
		var f *apierror.Error
		if !errors.As(err, &f) || f.Code != c.code || !strings.Contains(f.Message, c.message) || info != (Info{}) {
			t.Errorf("%s: %v; want %s: …%s…", what, err, c.code, c.message)
		}
	}
}
