package preprocess

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"strings"
	"sync"
	"testing"

	"gocv.io/x/gocv"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
	"fovea/preprocess/header"
)

func TestReducedDecodingGivesTheSameInput(t *testing.T) {
	data := largePhoto(t)
	for name, resize := range map[string]repository.Resize{"stretch": repository.Stretch, "shortest edge": repository.ShortestEdge, "letterbox": repository.Letterbox} {
		for _, size := range []int{32, 100, 224, 416} {
			in := resizedBy(bytesInput(size, size), resize)
			in.Decode = repository.DecodeFast
			plan := mustPlan(t, in)
			info := mustInfo(t, data)
			img, err := plan.Decode(t.Context(), data, info)
			if err != nil {
				t.Fatal(err)
			}
			shrink := img.size.Shrink
			img.Close()
			mean, worst := difference(prepared(t, plan, data), inFull(t, plan, data, info))
			t.Logf("%s to %d: 1/%d, mean %.2f, worst %d", name, size, shrink, mean, worst)
			if shrink == 1 {
				t.Errorf("%s to %d was decoded in full", name, size)
			}
			if mean > 1 || worst > 40 {
				t.Errorf("%s to %d: reduced decoding differs by %.2f in the mean, %d at worst", name, size, mean, worst)
			}
		}
	}
}

// inFull decodes a JPEG at its full size and packs it.
func inFull(t *testing.T, plan *Plan, data []byte, info header.Info) []byte {
	t.Helper()
	img := &Image{mat: own(gocv.NewMat()), orientation: 1, size: geometry.Image{Width: info.Width, Height: info.Height, Shrink: 1}}
	defer img.Close()
	if err := gocv.IMDecodeIntoMat(data, gocv.IMReadColor|ignoreOrientation, &img.mat.Mat); err != nil {
		t.Fatal(err)
	}
	row := poisoned(plan.RowBytes())
	if _, err := plan.Pack(img, row); err != nil {
		t.Fatal(err)
	}
	return row
}

func TestReducedDecodingStaysAtTwiceWhatIsNeeded(t *testing.T) {
	in := bytesInput(100, 50)
	in.Decode = repository.DecodeFast
	plan := mustPlan(t, in)
	for _, c := range []struct {
		what                string
		width, height, want int
		orientation         int
		format              header.Format
	}{
		{"just too small for a half", 399, 1000, 1, 1, header.JPEG},
		{"a half", 400, 200, 2, 1, header.JPEG},
		{"one side holds it back", 4000, 399, 2, 1, header.JPEG},
		{"a quarter", 800, 400, 4, 1, header.JPEG},
		{"an eighth is the most", 20000, 20000, 8, 1, header.JPEG},
		{"the orientation-corrected sides", 200, 400, 2, 6, header.JPEG},
		{"PNG is always decoded in full", 20000, 20000, 1, 1, header.PNG},
	} {
		info := header.Info{Format: c.format, Width: c.width, Height: c.height, Orientation: c.orientation}
		if got := plan.shrink(info); got != c.want {
			t.Errorf("%s: 1/%d, want 1/%d", c.what, got, c.want)
		}
	}
}

func TestCorruptImagesAreRefused(t *testing.T) {
	plan := mustPlan(t, bytesInput(32, 32))
	jpg := read(t, "testdata", "coffee.jpg")
	png := read(t, "testdata", "images", "png_rgb16.png")
	webp := read(t, "testdata", "images", "webp_lossless.webp")
	rle := read(t, "testdata", "images", "bmp_rle8.bmp")
	gray := read(t, "testdata", "images", "jpeg_gray.jpg")
	eoi := []byte{0xFF, 0xD9}
	for what, data := range map[string][]byte{
		"JPEG cut in the middle with an end marker put behind":      append(bytes.Clone(jpg[:len(jpg)/2]), eoi...),
		"JPEG cut near its end with an end marker put behind":       append(bytes.Clone(jpg[:len(jpg)*9/10]), eoi...),
		"gray JPEG cut in the middle with an end marker put behind": append(bytes.Clone(gray[:len(gray)*3/4]), eoi...),
		"PNG with a flipped bit in its image data":                  damaged(png, len(png)/2),
		"lossless WebP with flipped bits":                           damaged(webp, len(webp)/2),
		"PNG whose rows are not all there":                          shortPNG(t, 8, 5),
		"run-length coded BMP that ends too soon":                   rle[:len(rle)-200],
	} {
		t.Run(what, func(t *testing.T) {
			info, err := header.Read(data, header.Limits{})
			if err == nil {
				var img *Image
				if img, err = plan.Decode(t.Context(), data, info); err == nil {
					img.Close()
					t.Fatal("was decoded")
				}
			}
			if f := apierror.From(err); f.Code != apierror.Undecodable || !strings.Contains(f.Message, "is corrupt") && !strings.Contains(f.Message, "is truncated") {
				t.Errorf("%+v", f)
			}
		})
	}
	prepared(t, plan, shortPNG(t, 8, 8)) // with all its rows it is whole
	if _, err := plan.Decode(t.Context(), nil, header.Info{}); err == nil {
		t.Error("nothing was decoded")
	}
	if _, err := plan.Decode(t.Context(), png, header.Info{Format: header.PNG, Width: 5, Height: 5, Orientation: 1}); err == nil {
		t.Error("an image of another size than its header's was decoded")
	}
}

func damaged(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 0x55
	return data
}

func TestUniformGrayImagesAreDecoded(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 64, 48))
	draw.Draw(img, img.Rect, image.NewUniform(color.RGBA{128, 128, 128, 255}), image.Point{}, draw.Src)
	row := prepared(t, mustPlan(t, bytesInput(32, 32)), encodedJPEG(t, img))
	if !bytes.Equal(row, bytes.Repeat([]byte{128}, len(row))) {
		t.Error("a gray image is not gray")
	}
}

// TestConcurrentDecodesDoNotMix decodes images of one color each, and corrupt ones, in many goroutines.
func TestConcurrentDecodesDoNotMix(t *testing.T) {
	plan := mustPlan(t, bytesInput(32, 32))
	good := read(t, "testdata", "images", "png_rgb.png")
	bad := damaged(good, len(good)/2)
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			c := color.RGBA{uint8(worker * 16), uint8(255 - worker*16), uint8(worker * 7), 255}
			data := plainPNG(t, 20+worker, 50-worker, c)
			info, err := header.Read(data, header.Limits{})
			if err != nil {
				t.Error(err)
				return
			}
			row := poisoned(plan.RowBytes())
			for range 50 {
				if img, err := plan.Decode(t.Context(), bad, mustInfoOf(good)); err == nil {
					img.Close()
					t.Error("a corrupt image was decoded")
				}
				if err := packOne(plan, data, info, row); err != nil {
					t.Error(err)
				}
				if !bytes.Equal(row, bytes.Repeat([]byte{c.R, c.G, c.B}, 32*32)) {
					t.Error("a row holds another image's pixels")
				}
			}
		})
	}
	group.Wait()
}

func mustInfoOf(data []byte) header.Info {
	info, err := header.Read(data, header.Limits{})
	if err != nil {
		panic(err)
	}
	return info
}

func packOne(plan *Plan, data []byte, info header.Info, row []byte) error {
	img, err := plan.Decode(context.Background(), data, info)
	if err != nil {
		return err
	}
	_, err = plan.Pack(img, row)
	img.Close()
	img.Close() // a second time does nothing
	if _, after := plan.Pack(img, row); after == nil {
		return errors.Join(err, errors.New("a closed image was packed"))
	}
	return err
}
