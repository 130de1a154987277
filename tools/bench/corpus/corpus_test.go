package corpus

import (
	"bytes"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess"
	"fovea/preprocess/header"
)

// small is a size for the whole corpus to take seconds.
var small = Size{Pixels: 1 << 18, Bytes: 1 << 19}

// outcome reads, decodes and packs an image.
func outcome(t *testing.T, plan *preprocess.Plan, data []byte, limits header.Limits) error {
	info, err := header.Read(data, limits)
	if err != nil {
		return err
	}
	img, err := plan.Decode(t.Context(), data, info)
	if err != nil {
		return err
	}
	defer img.Close()
	_, err = plan.Pack(img, make([]byte, plan.RowBytes()))
	return err
}

func TestEveryImageIsDecodedOrRefused(t *testing.T) {
	plan, err := preprocess.NewPlan(repository.Input{Width: 224, Height: 224, DType: repository.Uint8}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[apierror.Code]bool{apierror.Undecodable: true, apierror.UnsupportedFormat: true, apierror.ImageTooLarge: true}
	hostile, names := 0, map[string]bool{}
	for _, i := range Images() {
		name := i.Format + " " + i.Name
		if !i.Honest {
			hostile++
		}
		if names[name] {
			t.Errorf("two images are called %s", name)
		}
		names[name] = true
		data := i.Make(small)
		if len(data) > small.Bytes && !i.Large {
			t.Errorf("%s has %d bytes, more than %d", name, len(data), small.Bytes)
		}
		switch err := outcome(t, plan, data, header.Limits{MaxPixels: int64(small.Pixels)}); {
		case err == nil:
		case i.Honest:
			t.Errorf("%s is honest and refused: %v", name, err)
		case !allowed[apierror.From(err).Code] || len(apierror.From(err).Message) < 20:
			t.Errorf("%s: %v", name, err)
		default:
			t.Logf("%s, %d bytes: %v", name, len(data), err)
		}
		if n := preprocess.Live(); n != 0 {
			t.Fatalf("%s: %d native values are left", name, n)
		}
	}
	if hostile < 40 {
		t.Errorf("only %d images are hostile", hostile)
	}
}

func TestCorpusIsReproducible(t *testing.T) {
	for _, i := range Images() {
		if s := (Size{Pixels: 1 << 12, Bytes: 1 << 16}); !bytes.Equal(i.Make(s), i.Make(s)) {
			t.Errorf("%s %s differs", i.Format, i.Name)
		}
	}
}
