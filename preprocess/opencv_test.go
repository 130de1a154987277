package preprocess

import (
	"bytes"
	"image"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"gocv.io/x/gocv"

	"fovea/preprocess/area"
	"fovea/preprocess/geometry"
	"fovea/preprocess/jpeg"
)

// reduced are OpenCV's flags for JPEG at 1/shrink of its size.
var reduced = map[int]gocv.IMReadFlag{
	1: gocv.IMReadColor, 2: gocv.IMReadReducedColor2, 4: gocv.IMReadReducedColor4, 8: gocv.IMReadReducedColor8,
}

func TestJPEGIsDecodedAsOpenCVDoes(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*.jpg")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d images, %v", len(files), err)
	}
	for _, file := range append(files, "testdata/coffee.jpg") {
		data := read(t, file)
		info := mustInfo(t, data)
		for shrink, flag := range reduced {
			want := own(gocv.NewMat())
			if err := gocv.IMDecodeIntoMat(data, flag|ignoreOrientation, &want.Mat); err != nil || want.Empty() {
				t.Fatalf("%s: OpenCV says %v", file, err)
			}
			theirs, err := want.DataPtrUint8()
			if err != nil {
				t.Fatal(err)
			}
			ours := poisoned(len(theirs))
			if err := jpeg.Decode(t.Context(), data, shrink, ours, want.Cols(), want.Rows(), 0, want.Cols()); err != nil {
				t.Errorf("%s at 1/%d: %v", file, shrink, err)
			}
			allowed := 0
			if info.Channels == 4 {
				allowed = 1 // OpenCV rounds ink down
			}
			if _, worst := difference(ours, theirs); worst > allowed {
				t.Errorf("%s at 1/%d differs from OpenCV by %d", file, shrink, worst)
			}
			want.free()
		}
	}
}

// TestDecodedColumnsMatchTheWhole decodes some columns of every kind of JPEG. They are the same to the bit, in all rows.
func TestDecodedColumnsMatchTheWhole(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*.jpg")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d images, %v", len(files), err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for _, file := range append(files, "testdata/coffee.jpg") {
		data := read(t, file)
		size := mustInfo(t, data).Coded()
		for _, shrink := range []int{1, 2, 4, 8} {
			w, h := (size.X+shrink-1)/shrink, (size.Y+shrink-1)/shrink
			whole := make([]byte, 3*w*h)
			if err := jpeg.Decode(t.Context(), data, shrink, whole, w, h, 0, w); err != nil {
				t.Fatal(err)
			}
			for range 40 {
				r := randomIn(random, image.Rect(0, 0, w, h))
				some := poisoned(len(whole))
				if err := jpeg.Decode(t.Context(), data, shrink, some, w, h, r.Min.X, r.Max.X); err != nil {
					t.Fatalf("%s at 1/%d: %v", file, shrink, err)
				}
				for y := range h {
					from, to := 3*(y*w+r.Min.X), 3*(y*w+r.Max.X)
					if !bytes.Equal(some[from:to], whole[from:to]) {
						t.Fatalf("%s at 1/%d, columns %d to %d of %d: row %d differs", file, shrink, r.Min.X, r.Max.X, w, y)
					}
				}
			}
		}
	}
}

func TestShrinkMatchesOpenCV(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		w, h := 1+random.IntN(300), 1+random.IntN(300)
		img := own(gocv.NewMatWithSizes([]int{h, w}, gocv.MatTypeCV8UC3))
		pixels, err := img.DataPtrUint8()
		if err != nil {
			t.Fatal(err)
		}
		for i := range pixels {
			pixels[i] = byte(random.Uint32())
		}
		part := randomIn(random, image.Rect(0, 0, w, h))
		size := image.Pt(1+random.IntN(part.Dx()), 1+random.IntN(part.Dy()))
		if size == part.Size() {
			size.X = max(1, size.X/2)
		}
		wanted := randomIn(random, image.Rectangle{Max: size})
		ours := poisoned(3 * wanted.Dx() * wanted.Dy())
		if err := area.Shrink(pixels, w, boxOf(part), size, wanted, ours); err != nil {
			t.Fatal(err)
		}
		region := own(img.Region(part))
		whole, err := interpolate(region, size, gocv.InterpolationArea)
		if err != nil {
			t.Fatal(err)
		}
		cut := own(whole.Region(wanted))
		alone := own(cut.Clone()) // without gaps between the rows
		theirs := alone.ToBytes()
		if _, worst := difference(ours, theirs); worst > 1 {
			t.Errorf("%v of %d×%d to %v, of which %v, differs from OpenCV by %d", part, w, h, size, wanted, worst)
		}
		for _, m := range []*native{&img, &region, &whole, &cut, &alone} {
			m.free()
		}
	}
}

func boxOf(r image.Rectangle) geometry.Box {
	return geometry.Box{MinX: float64(r.Min.X), MinY: float64(r.Min.Y), MaxX: float64(r.Max.X), MaxY: float64(r.Max.Y)}
}

// randomIn is a rectangle in another that is not empty.
func randomIn(random *rand.Rand, r image.Rectangle) image.Rectangle {
	x, y := r.Min.X+random.IntN(r.Dx()), r.Min.Y+random.IntN(r.Dy())
	return image.Rect(x, y, x+1+random.IntN(r.Max.X-x), y+1+random.IntN(r.Max.Y-y))
}
