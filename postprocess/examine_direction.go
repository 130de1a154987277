package postprocess

import (
	"math"
	"slices"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// A detector's best boxes follow what is to be seen. So images that show something on one side alone tell x from y, also where
// width and height count the same: with trained models, boxes move by half of the image and more from side to side, and by a
// twentieth across. With random weights they do not.
const (
	bestBoxes = 20  // of a trial run whose centres count
	follows   = 0.3 // of the image: boxes that move so far follow
	across    = 0.5 // boxes that move less than this part of it the other way do not follow there
)

type point struct{ x, y float64 }

// centre keeps where the best boxes of a run are, read as the definition says, in parts of the image.
func (e *boxesChecker) centre(rows, scores []float32, transform geometry.Transform, side Side) {
	n := len(rows) / 4
	if side == Everywhere || n == 0 {
		return
	}
	best := make([]ranked, n)
	for i := range best {
		best[i] = ranked{slices.Max(scores[i*e.b.perBox+e.b.background() : (i+1)*e.b.perBox]), int32(i)}
	}
	slices.SortFunc(best, func(a, b ranked) int {
		if a.above(b) {
			return -1
		}
		return 1
	})
	o := e.b.def.Output
	w, h := extent(o.BoxSpace, transform)
	var sum point
	weight := 0.0
	for _, r := range best[:min(n, bestBoxes)] {
		row := rows[4*r.index : 4*r.index+4]
		box := corners(o.BoxFormat, float64(row[0]), float64(row[1]), float64(row[2]), float64(row[3]))
		sum.x += float64(r.score) * (box.x1 + box.x2) / 2 / w
		sum.y += float64(r.score) * (box.y1 + box.y2) / 2 / h
		weight += float64(r.score)
	}
	e.centres[side] = point{sum.x / weight, sum.y / weight}
	e.seen[side] = weight > 0 && !math.IsNaN(sum.x+sum.y)
}

// directions says so when boxes move down as what is seen moves to the right, and to the right as it moves down.
func (e *boxesChecker) directions(f *Findings) {
	if !e.seen[Left] || !e.seen[Right] || !e.seen[Top] || !e.seen[Bottom] {
		return
	}
	right := point{e.centres[Right].x - e.centres[Left].x, e.centres[Right].y - e.centres[Left].y}
	down := point{e.centres[Bottom].x - e.centres[Top].x, e.centres[Bottom].y - e.centres[Top].y}
	if right.y < follows || down.x < follows || math.Abs(right.x) > across*right.y || math.Abs(down.y) > across*down.x {
		return
	}
	o := e.b.def.Output
	other := map[string]string{repository.BoxXYXY: " (yxyx)", repository.BoxYXYX: " (xyxy)"}[o.BoxFormat]
	f.warn("output.box_format: says %s, but x and y of output %q seem to be exchanged%s: in trial runs boxes moved down by %.2f of the "+
		"image when what it shows moved to the right, and to the right by %.2f when it moved down", o.BoxFormat, o.Boxes, other, right.y, down.x)
}
