package preprocess

import (
	"encoding/json"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"testing"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"

	"gocv.io/x/gocv"
)

// warpCase is a crop of testdata/make_warps.py.
type warpCase struct {
	Corners       [4]geometry.Point
	Points        []geometry.Point
	Matrix        geometry.Matrix
	Turned        bool
	Width, Height int
	Pixels        []byte
}

type warpCases struct {
	Width, Height int
	Pixels        []byte
	Quads, Faces  map[string]warpCase
}

func warps(t *testing.T) (cases warpCases) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "warps.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// stored is an image of upright pixels that is stored so that an EXIF orientation turns it upright.
func stored(t *testing.T, pixels []byte, w, h, orientation int) *Image {
	t.Helper()
	cols, rows := w, h
	if orientation >= 5 {
		cols, rows = h, w
	}
	mat := own(gocv.NewMatWithSize(rows, cols, gocv.MatTypeCV8UC3))
	t.Cleanup(mat.free)
	out, err := mat.DataPtrUint8()
	if err != nil {
		t.Fatal(err)
	}
	for y := range h {
		for x := range w {
			to := storedPoint(image.Pt(x, y), cols, rows, orientation)
			copy(out[3*(to.Y*cols+to.X):][:3], pixels[3*(y*w+x):])
		}
	}
	return &Image{mat: mat, orientation: orientation, size: geometry.Image{Width: w, Height: h, Shrink: 1}}
}

// shown returns the pixels of an image as they are shown: blue, green, red.
func shown(t *testing.T, img *Image) []byte {
	t.Helper()
	w, h := img.Size()
	p, err := NewPlan(repository.Input{Width: w, Height: h, Color: repository.ColorBGR, Layout: "nhwc", DType: repository.Uint8}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	row := make([]byte, 3*w*h)
	if _, err := p.Pack(img, row); err != nil {
		t.Fatal(err)
	}
	return row
}

// near reports how two images differ by more than rounding: fixed-point weights differ between OpenCV's versions.
func near(got, want []byte, most int) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d bytes, want %d", len(got), len(want))
	}
	sum := 0
	for i, v := range got {
		d := int(v) - int(want[i])
		if d = max(d, -d); d > most {
			return fmt.Errorf("byte %d is %d, want %d", i, v, want[i])
		}
		sum += d
	}
	if 2*sum > len(got) {
		return fmt.Errorf("the bytes differ by %.2f on average", float64(sum)/float64(len(got)))
	}
	return nil
}

func sameMatrix(t *testing.T, got, want geometry.Matrix, w, h int) {
	t.Helper()
	for _, p := range []geometry.Point{{0, 0}, {float64(w), 0}, {0, float64(h)}, {float64(w), float64(h)}} {
		a, b := got.Map(p), want.Map(p)
		if d := max(a[0]-b[0], b[0]-a[0], a[1]-b[1], b[1]-a[1]); !(d < 1e-3) {
			t.Errorf("%v is mapped to %v, want %v", p, a, b)
		}
	}
}

func TestQuadsEqualOpenCV(t *testing.T) {
	cases := warps(t)
	for name, c := range cases.Quads {
		for orientation := 1; orientation <= 8; orientation++ {
			t.Run(fmt.Sprint(name, ", orientation ", orientation), func(t *testing.T) {
				width, height := QuadSize(c.Corners)
				w, h := float64(width), float64(height)
				m, ok := geometry.Perspective(c.Corners, [4]geometry.Point{{0, 0}, {w, 0}, {w, h}, {0, h}})
				if !ok {
					t.Fatal("the corners lie on a line")
				}
				sameMatrix(t, m, c.Matrix, cases.Width, cases.Height)
				turns := 0
				if c.Turned {
					turns = 1
				}
				holdWarp(t, stored(t, cases.Pixels, cases.Width, cases.Height, orientation), Warping{ToCrop: m, Width: width, Height: height, Cubic: true, Turns: turns}, c)
			})
		}
	}
}

func TestFacesEqualInsightface(t *testing.T) {
	cases := warps(t)
	for name, c := range cases.Faces {
		for orientation := 1; orientation <= 8; orientation++ {
			t.Run(fmt.Sprint(name, ", orientation ", orientation), func(t *testing.T) {
				var target []geometry.Point
				for _, p := range repository.ArcFaceTarget() {
					target = append(target, geometry.Point{p[0] * float64(c.Width) / 112, p[1] * float64(c.Width) / 112})
				}
				m, ok := geometry.Similarity(c.Points, target)
				if !ok {
					t.Fatal("the points are all the same")
				}
				sameMatrix(t, m, c.Matrix, cases.Width, cases.Height)
				holdWarp(t, stored(t, cases.Pixels, cases.Width, cases.Height, orientation), Warping{ToCrop: m, Width: c.Width, Height: c.Height}, c)
			})
		}
	}
}

func holdWarp(t *testing.T, img *Image, w Warping, c warpCase) {
	t.Helper()
	got, err := img.Warp(w)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if gw, gh := got.Size(); gw != c.Width || gh != c.Height {
		t.Fatalf("%d×%d pixels, want %d×%d", gw, gh, c.Width, c.Height)
	}
	if err := near(shown(t, got), c.Pixels, 4); err != nil {
		t.Error(err)
	}
}

func TestTurns(t *testing.T) {
	cases := warps(t)
	img := stored(t, cases.Pixels, cases.Width, cases.Height, 1)
	w, h := cases.Width, cases.Height
	for turns := range 5 {
		got, err := img.Warp(Warping{ToCrop: geometry.Matrix{1, 0, 0, 0, 1, 0, 0, 0, 1}, Width: w, Height: h, Turns: turns})
		if err != nil {
			t.Fatal(err)
		}
		gw, gh := got.Size()
		pixels := shown(t, got)
		got.Close()
		for y := range h {
			for x := range w {
				to := [...]image.Point{{x, y}, {y, w - 1 - x}, {w - 1 - x, h - 1 - y}, {h - 1 - y, x}}[turns%4] // as numpy.rot90
				if a, b := pixels[3*(to.Y*gw+to.X)], cases.Pixels[3*(y*w+x)]; a != b {
					t.Fatalf("%d turns to %d×%d: %v of %v is %d, want %d", turns, gw, gh, to, image.Pt(x, y), a, b)
				}
			}
		}
	}
}

func TestCropsAreTheImagesPixels(t *testing.T) {
	cases := warps(t)
	w := cases.Width
	for orientation := 1; orientation <= 8; orientation++ {
		img := stored(t, cases.Pixels, w, cases.Height, orientation)
		for _, r := range []image.Rectangle{image.Rect(3, 5, 40, 31), image.Rect(0, 0, w, cases.Height), image.Rect(-9, 60, 30, 99), image.Rect(95, 71, 96, 72)} {
			got, err := img.Crop(r)
			if err != nil {
				t.Fatal(err)
			}
			area, whole := got.Area()
			if area != r.Intersect(image.Rect(0, 0, w, cases.Height)) || whole != image.Pt(w, cases.Height) {
				t.Errorf("the area of %v is %v of %v", r, area, whole)
			}
			pixels := shown(t, got)
			got.Close()
			for y := range area.Dy() {
				from := 3 * ((area.Min.Y+y)*w + area.Min.X)
				if string(pixels[3*y*area.Dx():][:3*area.Dx()]) != string(cases.Pixels[from:][:3*area.Dx()]) {
					t.Fatalf("orientation %d: row %d of %v differs", orientation, y, r)
				}
			}
		}
		if _, err := img.Crop(image.Rect(200, 0, 300, 10)); err == nil {
			t.Error("a crop outside of the image")
		}
	}
}

func TestWarpRefusesSizes(t *testing.T) {
	cases := warps(t)
	img := stored(t, cases.Pixels, cases.Width, cases.Height, 1)
	for _, size := range []image.Point{{0, 5}, {5, 0}, {1 << 20, 1 << 20}, {2000, 2000}} {
		if _, err := img.Warp(Warping{ToCrop: geometry.Matrix{1, 0, 0, 0, 1, 0, 0, 0, 1}, Width: size.X, Height: size.Y}); err == nil {
			t.Errorf("a crop of %v", size)
		}
	}
}
