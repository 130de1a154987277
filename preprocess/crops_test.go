package preprocess

import (
	"encoding/json"
	"image"
	"image/color"
	"testing"

	"fovea/internal/repository"
)

// cropInputs describe the kinds of testdata/make_crops.py, without the size of the input.
func cropInputs() map[string]repository.Input {
	stretch := func(w, h int, offset, interpolation string) repository.Input {
		return repository.Input{ResizeWidth: w, ResizeHeight: h, CropOffset: offset, Interpolation: interpolation}
	}
	edge := func(edge int, offset, interpolation string) repository.Input {
		return repository.Input{Resize: repository.ShortestEdge, ShortestEdge: edge, CropOffset: offset, Interpolation: interpolation}
	}
	mean := []float64{64, 128, 191}
	const (
		floor, truncate = repository.CropFloor, repository.CropTruncate
		bicubic         = repository.PillowBicubic
	)
	return map[string]repository.Input{
		"deit_pil":            stretch(34, 31, floor, bicubic),
		"deit_torch":          stretch(34, 31, truncate, repository.TorchBicubic),
		"deit_pil_padded":     stretch(34, 19, floor, repository.PillowBilinear),
		"deit_torch_padded":   stretch(34, 19, truncate, repository.TorchAntialias),
		"clip_pil":            edge(27, floor, bicubic),
		"clip_torch":          edge(27, truncate, repository.TorchLanczos),
		"clip_pil_padded":     edge(19, floor, bicubic),
		"clip_torch_padded":   edge(19, truncate, repository.TorchAntialias),
		"torchvision":         edge(29, "", repository.PillowBilinear),
		"torchvision_stretch": stretch(29, 31, "", repository.PillowBilinear),
		"timm_center":         edge(26, "", bicubic),
		"timm_rect":           {Resize: repository.Cover, ResizeWidth: 47, ResizeHeight: 18, Interpolation: bicubic},
		"timm_squash":         stretch(44, 17, "", repository.PillowBilinear),
		"timm_border":         {Resize: repository.Letterbox, ResizeWidth: 30, ResizeHeight: 30, Fill: mean, Interpolation: bicubic},
		"timm_border_whole":   {Resize: repository.Letterbox, Fill: mean, Interpolation: bicubic},
	}
}

// TestCropsEqualLibraries compares whole rows with those that transformers, timm and torchvision make.
func TestCropsEqualLibraries(t *testing.T) {
	var goldens struct {
		Width, Height int
		Image         []byte
		Cases         []struct {
			Kind       string
			Part, Size [2]int
			Result     []byte
		}
	}
	if err := json.Unmarshal(read(t, "testdata", "crops.json"), &goldens); err != nil {
		t.Fatal(err)
	}
	if len(goldens.Cases) < 60 {
		t.Fatalf("only %d cases", len(goldens.Cases))
	}
	inputs := cropInputs()
	for _, c := range goldens.Cases {
		in, known := inputs[c.Kind]
		if !known {
			t.Fatalf("%s is not known", c.Kind)
		}
		in.Width, in.Height, in.DType, in.Layout = c.Size[0], c.Size[1], repository.Uint8, "nhwc"
		part := image.NewRGBA(image.Rect(0, 0, c.Part[0], c.Part[1]))
		for y := range c.Part[1] {
			for x := range c.Part[0] {
				pixel := goldens.Image[3*(y*goldens.Width+x):]
				part.SetRGBA(x, y, color.RGBA{pixel[0], pixel[1], pixel[2], 255})
			}
		}
		if mean, worst := difference(prepared(t, mustPlan(t, in), pngOf(t, part)), c.Result); worst > 0 {
			t.Errorf("%s of %v: differs by %.2f in the mean, %d at worst", c.Kind, c.Part, mean, worst)
		}
	}
}
