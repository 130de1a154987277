package postprocess

import "image"

// pixelRun is a run of pixels of an image, in the order of columns: from, and the first one after it.
type pixelRun struct{ from, to uint32 }

// pixelRuns returns the pixels of the mask of a part, whose upper left pixel is at, of an image of height lines.
func pixelRuns(m *Mask, at image.Point, height int) (list []pixelRun) {
	m.Each(func(x, top, bottom int) {
		column := (x+at.X)*height + at.Y
		s := pixelRun{uint32(column + top), uint32(column + bottom)}
		if n := len(list); n > 0 && list[n-1].to == s.from {
			list[n-1].to = s.to
			return
		}
		list = append(list, s)
	})
	return list
}

// union returns the pixels that are in one of two masks.
func union(a, b []pixelRun) []pixelRun {
	out := make([]pixelRun, 0, len(a)+len(b))
	for len(a)+len(b) > 0 {
		if len(a) == 0 || len(b) > 0 && b[0].from < a[0].from {
			a, b = b, a
		}
		next := a[0]
		a = a[1:]
		if n := len(out); n > 0 && out[n-1].to >= next.from {
			out[n-1].to = max(out[n-1].to, next.to)
			continue
		}
		out = append(out, next)
	}
	return out
}

// joined returns them as the runs of a Mask of a number of pixels.
func joined(list []pixelRun, pixels int) []uint32 {
	runs := make([]uint32, 0, 2*len(list)+1)
	at := uint32(0)
	for _, s := range list {
		runs = append(runs, s.from-at, s.to-s.from)
		at = s.to
	}
	if rest := uint32(pixels) - at; rest > 0 {
		runs = append(runs, rest)
	}
	return runs
}
