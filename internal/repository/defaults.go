package repository

import (
	"slices"

	"fovea/internal/config"
)

// WithDefaults returns the definition with every zero value set to its default, except for what comes from the ONNX file
// (width, height, color, dtype, layout, names) or depends on the device (max_size, count). Parsed definitions have their
// defaults already; this is for definitions built in Go.
func (d Definition) WithDefaults() Definition {
	d.fill(func(string) bool { return false })
	return d
}

// WithDefaults works like Definition.WithDefaults, for an input alone.
func (in Input) WithDefaults() Input {
	in.fill(func(string) bool { return false })
	return in
}

// Validate reports every error in the input of a resolved definition, each with its key.
func (in Input) Validate() error {
	var errs config.Errors
	in.check(&errs)
	if (!in.Dynamic() || in.Resize == Letterbox) && (in.Width == 0 || in.Height == 0) || in.Resize == FitHeight && in.Height == 0 || in.DType == "" {
		errs.Add("input", "width, height and dtype are required")
	}
	return errs.Err()
}

// fill sets the defaults; no other place has any. given reports which keys the file has: an explicit zero stays, and is
// validated.
func (d *Definition) fill(given func(key string) bool) {
	switch d.Task {
	case NoTask:
	case Pipeline:
		d.fillPipeline(given)
	default:
		d.Input.fill(given)
		d.Output.fill(d.Task, given)
		d.Tiles.fill(d.Task, given)
	}
	fillValue(&d.Batching.Queue, 256, given("batching.queue"))
	fillValue(&d.Warmup, 1, given("warmup"))
	fillValue(&d.Source.Version, 1, given("source.version"))
	d.Versions.Gate.fill(given)
	d.Instances = slices.Clone(d.Instances)
	for i := range d.Instances {
		fillValue(&d.Instances[i].Device, "auto", given(config.Index("instances", i)+".device"))
	}
}

func (in *Input) fill(given func(key string) bool) {
	fillValue(&in.Resize, Stretch, given("input.resize"))
	fillValue(&in.Interpolation, AreaLinear, given("input.interpolation"))
	fillValue(&in.Decode, DecodeExact, given("input.decode"))
	fillValue(&in.Scale, 1, given("input.scale"))
	fillValue(&in.Normalize, NormalizePacking, given("input.normalize"))
	fillList(&in.Mean, []float64{0}, given("input.mean"))
	fillList(&in.Std, []float64{1}, given("input.std"))
	if in.Resize == FitHeight {
		fillList(&in.Fill, []float64{0}, given("input.fill"))
	}
	if in.Resize == Letterbox {
		fillValue(&in.Place, "center", given("input.place"))
		fillList(&in.Fill, []float64{0}, given("input.fill"))
	}
	if in.derivesSide() {
		fillValue(&in.Rounding, in.SideRounding(), given("input.rounding"))
	}
	if in.limitsSides() && in.Multiple > 0 {
		fillValue(&in.ToMultiple, RoundNearest, given("input.to_multiple"))
	}
}

// SideRounding returns how a side that the resize derives from the other one is rounded: as Rounding says or, where it is empty, by
// default.
func (in *Input) SideRounding() string {
	switch {
	case in.Rounding != "":
		return in.Rounding
	case in.Resize == FitHeight:
		return RoundCeil // as in PaddleOCR's resize_norm_img
	case in.Resize == Cover, in.Resize == Letterbox && in.Place != "top_left":
		return RoundNearest // as in timm's ResizeKeepRatio and in Ultralytics' LetterBox; YOLOX's preproc, which places top_left, rounds down
	}
	return RoundFloor
}

func fillValue[T comparable](v *T, to T, given bool) {
	var zero T
	if *v == zero && !given {
		*v = to
	}
}

func fillList[T any](v *[]T, to []T, given bool) {
	if len(*v) == 0 && !given {
		*v = to
	}
}
