package preprocess

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"testing"
	"unsafe"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// TestCropsEqualFilesOfTheirPixels packs crops of an image, and files that have only these pixels: every element of the rows is the same, in each way
// of resizing, each orientation, and with and without alpha.
func TestCropsEqualFilesOfTheirPixels(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for _, interpolation := range repository.Interpolations() {
		for mode, in := range modes() {
			for _, colors := range []string{repository.ColorRGB, repository.ColorRGBA, repository.ColorGray} {
				in.Color, in.Layout, in.Interpolation = colors, "nchw", interpolation
				if len(in.Fill) > 0 {
					in.Fill = []float64{114}
				}
				for _, orientation := range []int{0, 1 + random.IntN(4), 5 + random.IntN(4)} {
					img := speckled(random, 61+random.IntN(20), 47+random.IntN(20), colors == repository.ColorRGBA)
					t.Run(fmt.Sprintf("%s %s %s orientation %d", interpolation, mode, colors, orientation), func(t *testing.T) {
						tiles := geometry.Tiles{Size: image.Pt(20+random.IntN(40), 20+random.IntN(40)), Overlap: 0.2}
						compareCrops(t, in, img, orientation, tiles)
					})
				}
			}
		}
	}
}

// compareCrops compares the rows of all tiles of a stored image with those of files that have only the tile.
func compareCrops(t *testing.T, in repository.Input, img *image.NRGBA, orientation int, tiles geometry.Tiles) {
	t.Helper()
	width, height := img.Rect.Dx(), img.Rect.Dy()
	upright := image.Pt(width, height)
	if orientation >= 5 {
		upright = image.Pt(height, width)
	}
	for _, part := range tiles.Of(upright) {
		crop, _ := img.SubImage(storedRect(part, width, height, orientation)).(*image.NRGBA)
		got := cropRow(t, in, pngOfNRGBA(t, img), orientation, part)
		data := pngOfNRGBA(t, crop)
		info := mustInfo(t, data)
		info.Orientation = orientation
		if want := decoded(t, mustPlan(t, in), data, info); !bytes.Equal(got, want) {
			t.Fatalf("the rows of %v of %v differ", part, upright)
		}
	}
}

// TestCropsOfJPEGAreDecodedInFull compares crops with those of the same pixels as PNG, for a plan that reads only the center of
// an image and may decode it at a lower size.
func TestCropsOfJPEGAreDecodedInFull(t *testing.T) {
	data := photo(t, 640, 480)
	in := bytesInput(64, 64)
	in.Resize, in.ShortestEdge, in.Decode = repository.ShortestEdge, 64, repository.DecodeFast
	whole := bytesInput(640, 480)
	pixels := prepared(t, mustPlan(t, whole), data)
	img := image.NewNRGBA(image.Rect(0, 0, 640, 480))
	for i := range 640 * 480 {
		img.SetNRGBA(i%640, i/640, color.NRGBA{pixels[3*i], pixels[3*i+1], pixels[3*i+2], 255})
	}
	for _, part := range []image.Rectangle{image.Rect(0, 0, 96, 80), image.Rect(544, 400, 640, 480), image.Rect(0, 0, 640, 480)} {
		crop, _ := img.SubImage(part).(*image.NRGBA)
		if !bytes.Equal(cropRow(t, in, data, 0, part), prepared(t, mustPlan(t, in), pngOfNRGBA(t, crop))) {
			t.Errorf("%v: the rows differ", part)
		}
	}
}

// cropRow packs a crop of an image.
func cropRow(t *testing.T, in repository.Input, data []byte, orientation int, part image.Rectangle) []byte {
	t.Helper()
	plan, info := mustPlan(t, in), mustInfo(t, data)
	info.Orientation = orientation
	img, err := plan.DecodeWhole(t.Context(), data, info)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	crop, err := img.Crop(part)
	if err != nil {
		t.Fatal(err)
	}
	defer crop.Close()
	size := plan.RowBytesOf(plan.InputSize(part.Dx(), part.Dy()))
	row := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(make([]float32, size/4+1)))), size)
	transform, err := plan.Pack(crop, row)
	if err != nil {
		t.Fatal(err)
	}
	if transform.Width != part.Dx() || transform.Height != part.Dy() {
		t.Fatalf("the transform is that of an image of %d×%d pixels", transform.Width, transform.Height)
	}
	return row
}

// speckled is an image of random pixels.
func speckled(random *rand.Rand, width, height int, alpha bool) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = byte(random.IntN(256))
		if i%4 == 3 && !alpha {
			img.Pix[i] = 255
		}
	}
	return img
}

func pngOfNRGBA(t testing.TB, img *image.NRGBA) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
