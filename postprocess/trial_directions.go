package postprocess

import (
	"cmp"
	"math"
	"slices"

	"fovea/internal/repository"
)

// A detector's best boxes follow the content, so that images with content on one side tell x from y even where width and height
// have the same range. With trained models the boxes move by at least half of the image from side to side, and by a twentieth
// in the other direction; with random weights they do not.
const (
	bestBoxes = 20  // of a trial run whose centers count
	follows   = 0.3 // of the image: boxes that move this far follow the content
	across    = 0.5 // of that: boxes that move less in the other direction do not follow there
)

type point struct{ x, y float64 }

// directionsCheck is the aspect of x and y.
type directionsCheck struct {
	*boxesCheck
	centers [sides]point // of the best boxes, by the side with content
	seen    [sides]bool
}

// add keeps the center of the best boxes of a run, read as the definition says, in fractions of the image.
func (e *directionsCheck) add(row *trialRow) {
	n := len(row.boxes) / 4
	if row.side == Everywhere || n == 0 {
		return
	}
	best := make([]ranked, n)
	for i := range best {
		best[i] = ranked{row.best[i], int32(i)}
	}
	slices.SortFunc(best, func(a, b ranked) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.index, b.index)) })
	w, h := extent(e.said.space, row.transform)
	var sum point
	weight := 0.0
	for _, r := range best[:min(n, bestBoxes)] {
		b := row.boxes[4*r.index : 4*r.index+4]
		box := corners(e.said.format, float64(b[0]), float64(b[1]), float64(b[2]), float64(b[3]))
		sum.x += float64(r.score) * (box.x1 + box.x2) / 2 / w
		sum.y += float64(r.score) * (box.y1 + box.y2) / 2 / h
		weight += float64(r.score)
	}
	e.centers[row.side] = point{sum.x / weight, sum.y / weight}
	e.seen[row.side] = weight > 0 && !math.IsNaN(sum.x+sum.y)
}

// findings warns if boxes move down as the content moves to the right, and to the right as it moves down.
func (e *directionsCheck) findings(f *Findings) {
	if !e.seen[Left] || !e.seen[Right] || !e.seen[Top] || !e.seen[Bottom] {
		return
	}
	right := point{e.centers[Right].x - e.centers[Left].x, e.centers[Right].y - e.centers[Left].y}
	down := point{e.centers[Bottom].x - e.centers[Top].x, e.centers[Bottom].y - e.centers[Top].y}
	if right.y < follows || down.x < follows || math.Abs(right.x) > across*right.y || math.Abs(down.y) > across*down.x {
		return
	}
	other := ""
	switch e.said.format {
	case repository.BoxXYXY:
		other = "; try " + e.words(reading{repository.BoxYXYX, e.said.space})
	case repository.BoxYXYX:
		other = "; try " + e.words(reading{repository.BoxXYXY, e.said.space})
	}
	f.warn("%s: says %s, but x and y of output %q seem to be swapped: in trial runs boxes moved down by %.2f of the "+
		"image when its content moved to the right, and to the right by %.2f when it moved down%s", e.formatKey(), e.said.format, e.output, right.y, down.x, other)
}
