package postprocess

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

const (
	maxBoxes  = 1000 // of a trial run that are examined, about
	someBoxes = 10   // too many to all match, or all mismatch, by chance
	outside   = 0.15 // how far a box may reach beyond the image, in sides of it
	minReach  = 4    // numbers that are all smaller are no pixels
	someReach = 8    // nor are numbers that are mostly smaller than this fraction of the input's shorter side
)

// reading is an interpretation of the four numbers of a box.
type reading struct{ format, space string }

// boxesChecker checks finished boxes. It counts how many boxes are plausible in each reading.
type boxesChecker struct {
	b         *boxes
	scores    span
	boxes     int
	first     []float32 // the numbers of the first run that had boxes
	plausible map[reading]int
	reach     float64 // the largest number of all boxes
	far       int     // boxes with a number that may be pixels of the input, see someReach
	hits      int     // boxes that overlap the image, read as the definition says
	ordered   int     // boxes whose last two numbers are not below the first two
	late      int     // boxes that begin in the last quarter of the image
	classes   span    // counted from the first labeled one
	noClass   bool    // a class is not an integer
	bad       bool    // a box with such a class reaches the score threshold
	sure      bool    // a box with a class beyond the labels reaches the score threshold
	buffer    scratch
	centers   [sides]point // of the best boxes, by the side with content
	seen      [sides]bool
}

func (b *boxes) trialCheck() TrialCheck {
	return &boxesChecker{b: b, plausible: map[reading]int{}}
}

func (e *boxesChecker) Add(outputs []Tensor, transform geometry.Transform, side Side) {
	rows, scores, classes, err := e.b.read(&e.buffer, outputs)
	if err != nil {
		return
	}
	for at := 0; at < len(scores); at += e.b.perBox {
		e.scores.add(scores[at+e.b.background() : at+e.b.perBox]...)
	}
	e.center(rows, scores, transform, side)
	if len(rows) > 0 && slices.Equal(rows, e.first) {
		return // the same as in the first run
	}
	if len(e.first) == 0 {
		e.first = slices.Clone(rows)
	}
	n := len(rows) / 4
	for i := 0; i < n; i += 1 + n/maxBoxes { // spread over the image
		row := [4]float64{float64(rows[4*i]), float64(rows[4*i+1]), float64(rows[4*i+2]), float64(rows[4*i+3])}
		if row[0] == row[1] && row[1] == row[2] && row[2] == row[3] || row[0]-row[0]+row[1]-row[1]+row[2]-row[2]+row[3]-row[3] != 0 {
			continue // padding, or not finite
		}
		if slices.Max(scores[i*e.b.perBox:(i+1)*e.b.perBox]) <= 0 {
			continue // padding, too
		}
		e.boxes++
		reach := max(math.Abs(row[0]), math.Abs(row[1]), math.Abs(row[2]), math.Abs(row[3]))
		e.reach = max(e.reach, reach)
		if someReach*reach >= float64(min(transform.InputW, transform.InputH)) {
			e.far++
		}
		for _, r := range e.readings() {
			e.try(r, row, transform)
		}
		e.order(row, transform)
		if classes != nil {
			e.class(classes, i, scores[i] >= float32(e.b.def.Output.Score))
		}
	}
}

// readings lists the readings of a box. Pixels of the image are one of them if the model gets the image's size or the
// definition says so.
func (e *boxesChecker) readings() (list []reading) {
	spaces := []string{repository.SpaceUnit, repository.SpaceInput}
	if e.b.def.Output.BoxSpace == repository.SpaceOriginal || e.b.hasSizeInput() {
		spaces = append(spaces, repository.SpaceOriginal)
	}
	for _, space := range spaces {
		for _, format := range [...]string{repository.BoxXYXY, repository.BoxYXYX, repository.BoxCXCYWH, repository.BoxXYWH} {
			list = append(list, reading{format, space})
		}
	}
	return list
}

// try counts a box that is plausible in a reading: its second corner follows the first, and it lies on the image.
func (e *boxesChecker) try(r reading, row [4]float64, transform geometry.Transform) {
	w, h := extent(r.space, transform)
	box := corners(r.format, row[0], row[1], row[2], row[3])
	box = rect{box.x1 / w, box.y1 / h, box.x2 / w, box.y2 / h}
	if box.x2 >= box.x1 && box.y2 >= box.y1 && min(box.x1, box.y1) >= -outside && max(box.x2, box.y2) <= 1+outside {
		e.plausible[r]++
	}
}

// extent returns the width and height of an image in a box space.
func extent(space string, transform geometry.Transform) (w, h float64) {
	switch space {
	case repository.SpaceInput:
		return float64(transform.InputW), float64(transform.InputH)
	case repository.SpaceOriginal:
		return float64(transform.Width), float64(transform.Height)
	}
	return 1, 1
}

// order counts what tells two corners from a position and a size: a second corner never precedes the first, but a size may be
// less than a position.
func (e *boxesChecker) order(row [4]float64, transform geometry.Transform) {
	if row[2] >= row[0] && row[3] >= row[1] {
		e.ordered++
	}
	w, h := extent(e.b.def.Output.BoxSpace, transform)
	if row[0] > 0.75*w || row[1] > 0.75*h {
		e.late++
	}
	box := corners(e.b.def.Output.BoxFormat, row[0], row[1], row[2], row[3])
	if box.x1 <= box.x2 && box.y1 <= box.y2 && box.x2 >= 0 && box.y2 >= 0 && box.x1 <= w && box.y1 <= h {
		e.hits++
	}
}

func (e *boxesChecker) class(classes *Tensor, i int, scores bool) {
	n, ok := classes.integer(i)
	if !ok {
		e.noClass, e.bad = true, e.bad || scores
		return
	}
	class := n - int64(e.b.def.Output.ClassFirst)
	e.classes.add(float32(class))
	e.sure = e.sure || scores && class >= int64(len(e.b.def.Labels))
}

func (e *boxesChecker) Findings() (f Findings) {
	o := e.b.def.Output
	e.scores.scores(&f, "output.scores", e.b.scores.name, e.b.perBox > 1)
	if e.noClass {
		f.judge(e.bad, "output.classes: output %q must hold class numbers, but had others in trial runs", e.b.numbers.name)
	}
	if labels := len(e.b.def.Labels); labels > 0 && e.classes.high >= float64(labels) {
		f.judge(e.sure, "output.classes: output %q had class %v in trial runs, but %s has %d labels, the first for class %d; "+
			"check output.class_first", e.b.numbers.name, e.classes.high+float64(o.ClassFirst), e.b.def.LabelsFile, labels, o.ClassFirst)
	}
	e.compareReadings(&f)
	e.directions(&f)
	if o.BoxFormat != repository.BoxYXYX && (strings.Contains(o.Boxes, "detection_boxes") || strings.Contains(o.Boxes, "TFLite_Detection_PostProcess")) {
		f.warn("output.box_format: says %s, but TensorFlow's Object Detection API, whose name for boxes is %q, puts y first (yxyx)",
			o.BoxFormat, o.Boxes)
	}
	if o.BoxSpace == repository.SpaceOriginal && !e.b.hasSizeInput() {
		f.warn("output.box_space: says original, but none of input.extra is the image's size")
	}
	return f
}

// hasSizeInput reports whether an input of the model is the image's size.
func (b *boxes) hasSizeInput() bool {
	return slices.ContainsFunc(b.def.Input.Extra, func(x repository.Extra) bool {
		return x.Value == repository.OriginalSizeWH || x.Value == repository.OriginalSizeHW
	})
}

// compareReadings compares the definition's reading of boxes with the others.
func (e *boxesChecker) compareReadings(f *Findings) {
	if e.boxes == 0 {
		return
	}
	o := e.b.def.Output
	said := reading{o.BoxFormat, o.BoxSpace}
	own, best := e.share(said), 0.0
	for _, r := range e.readings() {
		best = max(best, e.share(r))
	}
	sized, many := o.BoxFormat == repository.BoxCXCYWH || o.BoxFormat == repository.BoxXYWH, e.boxes >= someBoxes
	switch {
	case own < 0.6 && best-own >= 0.3:
		f.judge(own <= 0.05 && best >= 0.9 && many, "output.boxes: read with box_format: %s and box_space: %s, only %d of %d boxes "+
			"of output %q are plausible in trial runs; more are with %s", o.BoxFormat, o.BoxSpace, e.plausibleIn(said), e.boxes, o.Boxes, e.atLeast(best-0.05))
	case own < 0.1 && many && 10*e.hits < e.boxes:
		f.warn("output.boxes: only %d of %d boxes of output %q lie on the image in trial runs, and no other box_format or "+
			"box_space is more plausible", e.hits, e.boxes, o.Boxes)
	case sized && many && 50*e.ordered >= 49*e.boxes && 10*e.late >= e.boxes:
		f.warn("output.box_format: says %s, but in %d of %d boxes of output %q the last two numbers are not below the first two in "+
			"trial runs, as in second corners (xyxy, yxyx)", o.BoxFormat, e.ordered, e.boxes, o.Boxes)
	}
}

// atLeast lists the readings that make at least a share of the boxes plausible.
func (e *boxesChecker) atLeast(share float64) string {
	var better []string
	for _, r := range e.readings() {
		if e.share(r) >= share {
			better = append(better, "box_format: "+r.format+" with box_space: "+r.space)
		}
	}
	return strings.Join(better, ", or ")
}

// plausibleIn returns the number of boxes that are plausible in a reading. As pixels none is if all or most lie in the corner, as
// fractions of the image do even for boxes larger than it.
func (e *boxesChecker) plausibleIn(r reading) int {
	if r.space != repository.SpaceUnit && (e.reach < minReach || 2*e.far < e.boxes) {
		return 0
	}
	return e.plausible[r]
}

// share returns the share of boxes that are plausible in a reading.
func (e *boxesChecker) share(r reading) float64 { return float64(e.plausibleIn(r)) / float64(e.boxes) }

// A detector's best boxes follow the content, so that images with content on one side tell x from y even where width and height
// have the same range. With trained models the boxes move by at least half of the image from side to side, and by a twentieth
// in the other direction; with random weights they do not.
const (
	bestBoxes = 20  // of a trial run whose centers count
	follows   = 0.3 // of the image: boxes that move this far follow the content
	across    = 0.5 // of that: boxes that move less in the other direction do not follow there
)

type point struct{ x, y float64 }

// center keeps the center of the best boxes of a run, read as the definition says, in fractions of the image.
func (e *boxesChecker) center(rows, scores []float32, transform geometry.Transform, side Side) {
	n := len(rows) / 4
	if side == Everywhere || n == 0 {
		return
	}
	best := make([]ranked, n)
	for i := range best {
		best[i] = ranked{slices.Max(scores[i*e.b.perBox+e.b.background() : (i+1)*e.b.perBox]), int32(i)}
	}
	slices.SortFunc(best, func(a, b ranked) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.index, b.index)) })
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
	e.centers[side] = point{sum.x / weight, sum.y / weight}
	e.seen[side] = weight > 0 && !math.IsNaN(sum.x+sum.y)
}

// directions warns if boxes move down as the content moves to the right, and to the right as it moves down.
func (e *boxesChecker) directions(f *Findings) {
	if !e.seen[Left] || !e.seen[Right] || !e.seen[Top] || !e.seen[Bottom] {
		return
	}
	right := point{e.centers[Right].x - e.centers[Left].x, e.centers[Right].y - e.centers[Left].y}
	down := point{e.centers[Bottom].x - e.centers[Top].x, e.centers[Bottom].y - e.centers[Top].y}
	if right.y < follows || down.x < follows || math.Abs(right.x) > across*right.y || math.Abs(down.y) > across*down.x {
		return
	}
	o := e.b.def.Output
	other := map[string]string{repository.BoxXYXY: " (yxyx)", repository.BoxYXYX: " (xyxy)"}[o.BoxFormat]
	f.warn("output.box_format: says %s, but x and y of output %q seem to be swapped%s: in trial runs boxes moved down by %.2f of the "+
		"image when its content moved to the right, and to the right by %.2f when it moved down", o.BoxFormat, o.Boxes, other, right.y, down.x)
}
