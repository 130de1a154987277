package preprocess

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"gocv.io/x/gocv"

	"fovea/internal/repository"
	"fovea/preprocess/header"
)

// noisy is an image in which no pixel is like another, with black and white ones.
func noisy(w, h int) *image.RGBA {
	random := rand.New(rand.NewPCG(uint64(w), uint64(h)))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		v := func() uint8 { return uint8(max(0, min(random.IntN(380)-60, 255))) }
		img.SetRGBA(i%w, i/w, color.RGBA{v(), v(), v(), 255})
	}
	return img
}

func pngOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// upright turns a stored image as its orientation says.
func upright(stored *image.RGBA, orientation int) *image.RGBA {
	w, h := stored.Rect.Dx(), stored.Rect.Dy()
	size := image.Pt(w, h)
	if orientation >= 5 {
		size = image.Pt(h, w)
	}
	img := image.NewRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			from := storedPoint(image.Pt(x, y), w, h, orientation)
			img.SetRGBA(x, y, stored.RGBAAt(from.X, from.Y))
		}
	}
	return img
}

// exactly are the ways to resize whose result for a turned image is that of the image turned before, to the bit.
func exactly(interpolation string) bool {
	return strings.HasPrefix(interpolation, "pillow_") || strings.HasPrefix(interpolation, "torch_") || interpolation == repository.OpenCVNearest
}

func TestEveryOrientationGivesTheRowOfTheTurnedImage(t *testing.T) {
	sizes := []image.Point{{61, 43}, {29, 90}, {20, 17}, {33, 24}} // shrink, both, grow, stay and shrink
	for _, interpolation := range repository.Interpolations() {
		for mode, in := range modes() {
			in.Width, in.Height, in.Interpolation, in.Decode = 33, 24, interpolation, repository.DecodeExact
			if in.Resize == repository.ShortestEdge {
				in.ShortestEdge = 37
			}
			plan := mustPlan(t, in)
			for _, size := range sizes {
				stored := noisy(size.X, size.Y)
				for orientation := 1; orientation <= 8; orientation++ {
					data := pngOf(t, stored)
					info := mustInfo(t, data)
					info.Orientation = orientation
					want := prepared(t, plan, pngOf(t, upright(stored, orientation)))
					allowed := 1
					if exactly(interpolation) {
						allowed = 0
					}
					if _, worst := difference(decoded(t, plan, data, info), want); worst > allowed {
						t.Errorf("%s %s of %v, orientation %d: differs by %d", interpolation, mode, size, orientation, worst)
					}
				}
			}
		}
	}
}

// TestJPEGGivesTheRowOfItsPixels compares a large turned JPEG with a PNG of its decoded pixels, turned. Only decode: fast may
// differ.
func TestJPEGGivesTheRowOfItsPixels(t *testing.T) {
	asJPEG := encodedJPEG(t, noisy(403, 309))
	picture, err := jpeg.Decode(bytes.NewReader(asJPEG))
	if err != nil {
		t.Fatal(err)
	}
	stored := image.NewRGBA(picture.Bounds())
	pixels := prepared(t, mustPlan(t, bytesInput(403, 309)), asJPEG) // Go's decoder does not interpolate chroma
	for i := range 403 * 309 {
		stored.SetRGBA(i%403, i/403, color.RGBA{pixels[3*i], pixels[3*i+1], pixels[3*i+2], 255})
	}
	for _, interpolation := range repository.Interpolations() {
		in := bytesInput(48, 40)
		in.Interpolation, in.Decode = interpolation, repository.DecodeExact
		fast := in
		fast.Decode = repository.DecodeFast
		for orientation := 1; orientation <= 8; orientation++ {
			info := mustInfo(t, asJPEG)
			info.Orientation = orientation
			want := prepared(t, mustPlan(t, in), pngOf(t, upright(stored, orientation)))
			got := decoded(t, mustPlan(t, in), asJPEG, info)
			if _, worst := difference(got, want); worst > 1 {
				t.Errorf("%s, orientation %d: differs by %d", interpolation, orientation, worst)
			}
			if mean, _ := difference(decoded(t, mustPlan(t, fast), asJPEG, info), want); mean > 5 {
				t.Errorf("%s, orientation %d, decode: fast: differs by %.1f in the mean", interpolation, orientation, mean)
			}
		}
	}
}

func TestWhatIsDecodedAtALowerSize(t *testing.T) {
	sizes := []image.Point{{1600, 1600}, {1601, 1601}, {806, 804}}
	for _, interpolation := range repository.Interpolations() {
		for _, decode := range []string{"", repository.DecodeExact, repository.DecodeFast} {
			in := bytesInput(100, 100)
			in.Interpolation, in.Decode = interpolation, decode
			want := [3]int{1, 1, 1}
			switch {
			case decode != repository.DecodeFast, strings.Contains(interpolation, "nearest"):
			case strings.HasPrefix(interpolation, "opencv_"):
				want = [3]int{8, 1, 2}
			default:
				want = [3]int{8, 8, 2}
			}
			for i, size := range sizes {
				info := header.Info{Format: header.JPEG, Width: size.X, Height: size.Y, Orientation: 1}
				if got := mustPlan(t, in).shrink(info); got != want[i] {
					t.Errorf("%s, decode %q, %v: 1/%d, want 1/%d", interpolation, decode, size, got, want[i])
				}
			}
		}
	}
}

// TestOpenCVIsEmulated compares with OpenCV's own resize, for factors of every kind.
func TestOpenCVIsEmulated(t *testing.T) {
	flags := map[string]gocv.InterpolationFlags{
		repository.OpenCVLinear: gocv.InterpolationLinear, repository.OpenCVArea: gocv.InterpolationArea,
		repository.OpenCVCubic: gocv.InterpolationCubic, repository.OpenCVNearest: gocv.InterpolationNearestNeighbor,
	}
	random := rand.New(rand.NewPCG(11, 12))
	for range 60 {
		img := noisy(1+random.IntN(200), 1+random.IntN(200))
		w, h := img.Rect.Dx(), img.Rect.Dy()
		in := bytesInput(w, h)
		in.Color = repository.ColorBGR
		mat, err := gocv.NewMatFromBytes(h, w, gocv.MatTypeCV8UC3, prepared(t, mustPlan(t, in), pngOf(t, img)))
		if err != nil {
			t.Fatal(err)
		}
		size := image.Pt(1+random.IntN(200), 1+random.IntN(200))
		for interpolation, flag := range flags {
			in.Width, in.Height, in.Interpolation = size.X, size.Y, interpolation
			want := gocv.NewMat()
			if err := gocv.Resize(mat, &want, size, 0, 0, flag); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(prepared(t, mustPlan(t, in), pngOf(t, img)), want.ToBytes()) {
				t.Errorf("%s of %d×%d to %v differs from OpenCV", interpolation, w, h, size)
			}
			_ = want.Close()
		}
		_ = mat.Close()
	}
}

// TestImagesEqualPillow compares images of every kind with what Pillow's BILINEAR makes of them.
func TestImagesEqualPillow(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d images, %v", len(files), err)
	}
	for mode, in := range modes() {
		in.Interpolation = repository.PillowBilinear
		plan := mustPlan(t, in)
		for _, file := range files {
			name := filepath.Base(file)
			allowed := 1
			if name == "bmp_555.bmp" || name == "bmp_565.bmp" {
				allowed = 7 // 31 of 5 bits becomes 248 as in OpenCV, 255 in Pillow
			}
			if _, worst := difference(prepared(t, plan, read(t, file)), golden(t, name, mode)); worst > allowed {
				t.Errorf("%s of %s differs by %d", mode, name, worst)
			}
		}
	}
}

// TestLongStripsAreCropped: the crop of a strip is that of the whole strip resized, which is much larger than the input.
func TestLongStripsAreCropped(t *testing.T) {
	strip := noisy(900, 20)
	for _, interpolation := range repository.Interpolations() {
		in := resizedBy(bytesInput(32, 32), repository.ShortestEdge)
		in.Interpolation = interpolation
		whole := bytesInput(32*900/20, 32)
		whole.Interpolation = interpolation
		all := prepared(t, mustPlan(t, whole), pngOf(t, strip))
		got := prepared(t, mustPlan(t, in), pngOf(t, strip))
		var want []byte
		for y := range 32 {
			want = append(want, all[3*(y*1440+704):3*(y*1440+736)]...)
		}
		mean, worst := difference(got, want)
		if exactly(interpolation) && worst > 0 || mean > 12 {
			t.Errorf("%s: differs by %.1f in the mean, %d at worst", interpolation, mean, worst)
		}
	}
}
