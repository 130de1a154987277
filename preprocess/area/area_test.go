package area

import (
	"image"
	"slices"
	"testing"
)

func TestWhatCannotBeIsRefused(t *testing.T) {
	whole, small := image.Rect(0, 0, 8, 6), image.Pt(4, 3)
	tests := map[string]struct {
		pixels, width int
		part          image.Rectangle
		size          image.Point
		wanted        image.Rectangle
		out           int
	}{
		"no picture":                    {0, 0, whole, small, image.Rectangle{Max: small}, 36},
		"a picture with too few bytes":  {3*8*6 - 1, 8, whole, small, image.Rectangle{Max: small}, 36},
		"a part outside of the picture": {3 * 8 * 6, 8, whole.Add(image.Pt(1, 0)), small, image.Rectangle{Max: small}, 36},
		"an empty part":                 {3 * 8 * 6, 8, image.Rectangle{}, small, image.Rectangle{Max: small}, 36},
		"a side that grows":             {3 * 8 * 6, 8, whole, image.Pt(9, 3), image.Rect(0, 0, 4, 3), 36},
		"nothing wanted":                {3 * 8 * 6, 8, whole, small, image.Rectangle{}, 0},
		"wanted outside of the result":  {3 * 8 * 6, 8, whole, small, image.Rect(1, 0, 5, 3), 36},
		"memory of another size":        {3 * 8 * 6, 8, whole, small, image.Rectangle{Max: small}, 35},
	}
	for name, tt := range tests {
		if err := Shrink(make([]byte, tt.pixels), tt.width, tt.part, tt.size, tt.wanted, make([]byte, tt.out)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestTheMeanOfWhatFallsOnAPixel(t *testing.T) {
	pixels := []byte{
		0, 10, 255 /**/, 2, 20, 255 /**/, 100, 0, 0,
		4, 30, 255 /**/, 6, 41, 255 /**/, 200, 0, 0,
	}
	tests := map[string]struct {
		part image.Rectangle
		size image.Point
		want []byte
	}{
		"two by two":                    {image.Rect(0, 0, 2, 2), image.Pt(1, 1), []byte{3, 25, 255}},
		"all":                           {image.Rect(0, 0, 3, 2), image.Pt(1, 1), []byte{52, 17, 170}},
		"a pixel and a half each":       {image.Rect(0, 0, 3, 1), image.Pt(2, 1), []byte{1, 13, 255, 67, 7, 85}},
		"one side alone":                {image.Rect(2, 0, 3, 2), image.Pt(1, 1), []byte{150, 0, 0}},
		"a picture that stays as it is": {image.Rect(1, 0, 3, 1), image.Pt(2, 1), []byte{2, 20, 255, 100, 0, 0}},
	}
	for name, tt := range tests {
		out := make([]byte, 3*tt.size.X*tt.size.Y)
		if err := Shrink(pixels, 3, tt.part, tt.size, image.Rectangle{Max: tt.size}, out); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out, tt.want) {
			t.Errorf("%s: %v, want %v", name, out, tt.want)
		}
	}
}
