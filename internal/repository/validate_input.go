package repository

import "slices"

func (in *Input) check(m *mistakes) {
	between(m, "input.width", in.Width, 0, maxSide)
	between(m, "input.height", in.Height, 0, maxSide)
	m.oneOf("input.resize", string(in.Resize), string(Stretch), string(ShortestEdge), string(Letterbox))
	in.checkEdge(m)
	in.checkLetterbox(m)
	m.oneOf("input.interpolation", in.Interpolation, "nearest", "linear", "cubic", "area", "lanczos")
	if in.Color != "" {
		m.oneOf("input.color", in.Color, ColorRGB, ColorBGR, ColorGray)
	}
	if in.Layout != "" {
		m.oneOf("input.layout", in.Layout, "nchw", "nhwc")
	}
	if in.DType != "" {
		m.oneOf("input.dtype", string(in.DType), string(Float32), string(Float16), string(Uint8))
	}
	in.checkNumbers(m)
	in.checkExtra(m)
}

func (in *Input) checkEdge(m *mistakes) {
	if in.Resize != ShortestEdge {
		if in.ShortestEdge != 0 {
			m.add("input.shortest_edge", "has a meaning only with resize: shortest_edge")
		}
		return
	}
	between(m, "input.shortest_edge", in.ShortestEdge, 1, maxSide)
	if in.ShortestEdge < 1 {
		return
	}
	if in.Width > in.ShortestEdge {
		m.add("input.width", "%d cannot be cut from a shortest edge of %d", in.Width, in.ShortestEdge)
	}
	if in.Height > in.ShortestEdge {
		m.add("input.height", "%d cannot be cut from a shortest edge of %d", in.Height, in.ShortestEdge)
	}
}

func (in *Input) checkLetterbox(m *mistakes) {
	if in.Resize != Letterbox {
		if in.Place != "" {
			m.add("input.place", "has a meaning only with resize: letterbox")
		}
		if len(in.Fill) > 0 {
			m.add("input.fill", "has a meaning only with resize: letterbox")
		}
		return
	}
	m.oneOf("input.place", in.Place, "center", "top_left")
	in.onePerChannel(m, "input.fill", in.Fill)
	for i, v := range in.Fill {
		between(m, indexKey("input.fill", i), v, 0, 255)
	}
}

func (in *Input) checkNumbers(m *mistakes) {
	if !(in.Scale > 0 && in.Scale <= maxFactor) {
		m.add("input.scale", "%v is out of range; allowed: above 0, up to %v", in.Scale, maxFactor)
	}
	in.onePerChannel(m, "input.mean", in.Mean)
	for i, v := range in.Mean {
		between(m, indexKey("input.mean", i), v, -maxFactor, maxFactor)
	}
	in.onePerChannel(m, "input.std", in.Std)
	for i, v := range in.Std {
		if !(v >= 1/maxFactor && v <= maxFactor) {
			m.add(indexKey("input.std", i), "%v is out of range; allowed: %v to %v", v, 1/maxFactor, maxFactor)
		}
	}
	if in.DType == Uint8 && in.changesValues() {
		m.add("input.dtype", "uint8 takes pixels as they are; scale, mean and std must be left out")
	}
}

func (in *Input) changesValues() bool {
	other := func(than float64) func(float64) bool { return func(v float64) bool { return v != than } }
	return in.Scale != 1 || slices.ContainsFunc(in.Mean, other(0)) || slices.ContainsFunc(in.Std, other(1))
}

// onePerChannel reports a list that has neither one value nor one for each channel.
func (in *Input) onePerChannel(m *mistakes, key string, values []float64) {
	switch {
	case len(values) == 1:
	case in.Color == ColorGray:
		m.add(key, "has %d values; allowed: 1, as color: gray has one channel", len(values))
	case len(values) != 3:
		m.add(key, "has %d values; allowed: 1 or 3", len(values))
	}
}

func (in *Input) checkExtra(m *mistakes) {
	if len(in.Extra) > maxExtra {
		m.add("input.extra", "there are %d; allowed: %d", len(in.Extra), maxExtra)
		return
	}
	for i, e := range in.Extra {
		key := indexKey("input.extra", i)
		same := func(other Extra) bool { return other.Name == e.Name }
		switch {
		case e.Name == "":
			m.add(key+".name", "must be given")
		case e.Name == in.Name || slices.IndexFunc(in.Extra, same) < i:
			m.add(key+".name", "%q names another input already", e.Name)
		}
		m.oneOf(key+".value", e.Value, OriginalSizeWH, OriginalSizeHW, InputSizeWH, InputSizeHW)
	}
}
