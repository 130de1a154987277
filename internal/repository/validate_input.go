package repository

import (
	"slices"

	"fovea/internal/config"
)

func (in *Input) check(errs *config.Errors) {
	config.Range(errs, "input.width", in.Width, 0, maxSide)
	config.Range(errs, "input.height", in.Height, 0, maxSide)
	errs.OneOf("input.resize", string(in.Resize), string(Stretch), string(ShortestEdge), string(Letterbox))
	in.checkEdge(errs)
	in.checkLetterbox(errs)
	errs.OneOf("input.interpolation", in.Interpolation, "nearest", "linear", "cubic", "area", "lanczos")
	if in.Color != "" {
		errs.OneOf("input.color", in.Color, ColorRGB, ColorBGR, ColorGray)
	}
	if in.Layout != "" {
		errs.OneOf("input.layout", in.Layout, "nchw", "nhwc")
	}
	if in.DType != "" {
		errs.OneOf("input.dtype", string(in.DType), string(Float32), string(Float16), string(Uint8))
	}
	in.checkNumbers(errs)
	in.checkExtra(errs)
}

func (in *Input) checkEdge(errs *config.Errors) {
	if in.Resize != ShortestEdge {
		if in.ShortestEdge != 0 {
			errs.Add("input.shortest_edge", "only applies with resize: shortest_edge")
		}
		return
	}
	config.Range(errs, "input.shortest_edge", in.ShortestEdge, 1, maxSide)
	if in.ShortestEdge < 1 {
		return
	}
	if in.Width > in.ShortestEdge {
		errs.Add("input.width", "%d cannot be cut from a shortest edge of %d", in.Width, in.ShortestEdge)
	}
	if in.Height > in.ShortestEdge {
		errs.Add("input.height", "%d cannot be cut from a shortest edge of %d", in.Height, in.ShortestEdge)
	}
}

func (in *Input) checkLetterbox(errs *config.Errors) {
	if in.Resize != Letterbox {
		if in.Place != "" {
			errs.Add("input.place", "only applies with resize: letterbox")
		}
		if len(in.Fill) > 0 {
			errs.Add("input.fill", "only applies with resize: letterbox")
		}
		return
	}
	errs.OneOf("input.place", in.Place, "center", "top_left")
	in.onePerChannel(errs, "input.fill", in.Fill)
	for i, v := range in.Fill {
		config.Range(errs, config.Index("input.fill", i), v, 0, 255)
	}
}

func (in *Input) checkNumbers(errs *config.Errors) {
	if !(in.Scale > 0 && in.Scale <= maxFactor) { // nor NaN
		errs.Add("input.scale", "%v is out of range (>0–%v)", in.Scale, maxFactor)
	}
	in.onePerChannel(errs, "input.mean", in.Mean)
	for i, v := range in.Mean {
		config.Range(errs, config.Index("input.mean", i), v, -maxFactor, maxFactor)
	}
	in.onePerChannel(errs, "input.std", in.Std)
	for i, v := range in.Std {
		config.Range(errs, config.Index("input.std", i), v, 1/maxFactor, maxFactor)
	}
	if in.DType == Uint8 && in.changesValues() {
		errs.Add("input.dtype", "uint8 takes pixel values unchanged; remove scale, mean and std")
	}
}

func (in *Input) changesValues() bool {
	other := func(than float64) func(float64) bool { return func(v float64) bool { return v != than } }
	return in.Scale != 1 || slices.ContainsFunc(in.Mean, other(0)) || slices.ContainsFunc(in.Std, other(1))
}

// onePerChannel reports a list that has neither one value nor one for each channel.
func (in *Input) onePerChannel(errs *config.Errors, key string, values []float64) {
	switch {
	case len(values) == 1:
	case in.Color == ColorGray:
		errs.Add(key, "has %d values, but color: gray has one channel", len(values))
	case len(values) != 3:
		errs.Add(key, "has %d values, not 1 or 3", len(values))
	}
}

func (in *Input) checkExtra(errs *config.Errors) {
	if len(in.Extra) > maxExtra {
		errs.Add("input.extra", "there are %d; the limit is %d", len(in.Extra), maxExtra)
		return
	}
	for i, e := range in.Extra {
		key := config.Index("input.extra", i)
		same := func(other Extra) bool { return other.Name == e.Name }
		switch {
		case e.Name == "":
			errs.Add(key+".name", "is required")
		case e.Name == in.Name || slices.IndexFunc(in.Extra, same) < i:
			errs.Add(key+".name", "%q already names another input", e.Name)
		}
		errs.OneOf(key+".value", e.Value, OriginalSizeWH, OriginalSizeHW, InputSizeWH, InputSizeHW)
	}
}
