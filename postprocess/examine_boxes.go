package postprocess

import (
	"math"
	"slices"
	"strings"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

const (
	mostBoxes  = 1000 // of a trial run that are looked at, about
	someBoxes  = 10   // so many do not all transform, or all not transform, by chance
	outside    = 0.15 // how far a box may reach beyond the image, in sides of it
	leastReach = 4    // pixels: a model whose boxes all end before does not count them
	someReach  = 8    // a box ends before this part of the input's shorter side: most of those of such a model do not
)

// reading is a way to read the four numbers of a box.
type reading struct{ format, space string }

// boxesChecker examines finished boxes. It counts for each way of reading them how many boxes make sense.
type boxesChecker struct {
	b       *boxes
	scores  span
	boxes   int
	first   []float32 // the numbers of the first run that had boxes
	sense   map[reading]int
	reach   float64 // the largest number of a box
	far     int     // boxes with a number that pixels of the input may be, see someReach
	hits    int     // boxes that cover some of the image, as the definition reads them
	ordered int     // the last two numbers are not below the first two
	late    int     // one of the first two numbers is in the last quarter of the image
	classes span    // counted from the first labelled one
	noClass bool    // a class is no whole number
	bad     bool    // that of a box which scores enough to be answered
	sure    bool    // a box with a class beyond the labels scores enough to be answered
	buffer  scratch
	centres [sides]point // of the best boxes, by where something was to be seen
	seen    [sides]bool
}

func (b *boxes) checker() checker {
	return &boxesChecker{b: b, sense: map[reading]int{}}
}

func (e *boxesChecker) add(outputs []Tensor, transform geometry.Transform, side Side) {
	rows, scores, classes, err := e.b.read(&e.buffer, outputs)
	if err != nil {
		return
	}
	for at := 0; at < len(scores); at += e.b.perBox {
		e.scores.add(scores[at+e.b.background() : at+e.b.perBox]...)
	}
	e.centre(rows, scores, transform, side)
	if len(rows) > 0 && slices.Equal(rows, e.first) {
		return // a run that finds what the first one did says nothing new
	}
	if len(e.first) == 0 {
		e.first = slices.Clone(rows)
	}
	n := len(rows) / 4
	for i := 0; i < n; i += 1 + n/mostBoxes { // of all parts of the image
		row := [4]float64{float64(rows[4*i]), float64(rows[4*i+1]), float64(rows[4*i+2]), float64(rows[4*i+3])}
		if row[0] == row[1] && row[1] == row[2] && row[2] == row[3] || row[0]-row[0]+row[1]-row[1]+row[2]-row[2]+row[3]-row[3] != 0 {
			continue // what fills a list up; and NaN is unequal to everything
		}
		if slices.Max(scores[i*e.b.perBox:(i+1)*e.b.perBox]) <= 0 {
			continue // what fills a list up, too, whatever its numbers are
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

// readings are the ways to read a box. Pixels of the image are one where the model is told its size, or the definition
// says so.
func (e *boxesChecker) readings() (list []reading) {
	spaces := []string{repository.SpaceUnit, repository.SpaceInput}
	if e.b.def.Output.BoxSpace == repository.SpaceOriginal || e.b.toldSize() {
		spaces = append(spaces, repository.SpaceOriginal)
	}
	for _, space := range spaces {
		for _, format := range [...]string{repository.BoxXYXY, repository.BoxYXYX, repository.BoxCXCYWH, repository.BoxXYWH} {
			list = append(list, reading{format, space})
		}
	}
	return list
}

// try counts a box that makes sense when it is read so: its second corner lies behind the first, and it lies on the image.
func (e *boxesChecker) try(r reading, row [4]float64, transform geometry.Transform) {
	w, h := extent(r.space, transform)
	box := corners(r.format, row[0], row[1], row[2], row[3])
	box = rect{box.x1 / w, box.y1 / h, box.x2 / w, box.y2 / h}
	if box.x2 >= box.x1 && box.y2 >= box.y1 && min(box.x1, box.y1) >= -outside && max(box.x2, box.y2) <= 1+outside {
		e.sense[r]++
	}
}

// extent is what the width and the height of an image are in a space.
func extent(space string, transform geometry.Transform) (w, h float64) {
	switch space {
	case repository.SpaceInput:
		return float64(transform.InputW), float64(transform.InputH)
	case repository.SpaceOriginal:
		return float64(transform.Width), float64(transform.Height)
	}
	return 1, 1
}

// order counts what tells two corners from a place and a size: a second corner is never before the first, but sizes have
// nothing to do with places.
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

func (e *boxesChecker) conclude(f *Findings) {
	o := e.b.def.Output
	e.scores.scores(f, "output.scores", e.b.scores.name, e.b.perBox > 1)
	if e.noClass {
		f.judge(e.bad, "output.classes: output %q must hold numbers of classes, but held others in trial runs", e.b.classes.name)
	}
	if labels := len(e.b.def.Labels); labels > 0 && e.classes.high >= float64(labels) {
		f.judge(e.sure, "output.classes: output %q names class %v in trial runs, but %s has %d labels, the first of which is class %d; "+
			"is output.class_first right?", e.b.classes.name, e.classes.high+float64(o.ClassFirst), e.b.def.LabelsFile, labels, o.ClassFirst)
	}
	e.places(f)
	e.directions(f)
	if o.BoxFormat != repository.BoxYXYX && (strings.Contains(o.Boxes, "detection_boxes") || strings.Contains(o.Boxes, "TFLite_Detection_PostProcess")) {
		f.warn("output.box_format: says %s, but TensorFlow's Object Detection API, whose name for boxes is %q, puts y first (yxyx)",
			o.BoxFormat, o.Boxes)
	}
	if o.BoxSpace == repository.SpaceOriginal && !e.b.toldSize() {
		f.warn("output.box_space: says original, but the model is not told the image's size by any of input.extra")
	}
}

// toldSize says whether the model is told the image's size.
func (b *boxes) toldSize() bool {
	return slices.ContainsFunc(b.def.Input.Extra, func(x repository.Extra) bool {
		return x.Value == repository.OriginalSizeWH || x.Value == repository.OriginalSizeHW
	})
}

// places holds the definition's way to read boxes against the others.
func (e *boxesChecker) places(f *Findings) {
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
			"of output %q make sense in trial runs; more do with %s", o.BoxFormat, o.BoxSpace, e.senseful(said), e.boxes, o.Boxes, e.atLeast(best-0.05))
	case own < 0.1 && many && 10*e.hits < e.boxes:
		f.warn("output.boxes: only %d of %d boxes of output %q lie on the image in trial runs, and no other box_format or "+
			"box_space makes more sense of them", e.hits, e.boxes, o.Boxes)
	case sized && many && 50*e.ordered >= 49*e.boxes && 10*e.late >= e.boxes:
		f.warn("output.box_format: says %s, but in %d of %d boxes of output %q the last two numbers are not below the first two in "+
			"trial runs, as in second corners (xyxy, yxyx)", o.BoxFormat, e.ordered, e.boxes, o.Boxes)
	}
}

// atLeast lists the ways of reading in which at least a share of the boxes makes sense.
func (e *boxesChecker) atLeast(share float64) string {
	var better []string
	for _, r := range e.readings() {
		if e.share(r) >= share {
			better = append(better, "box_format: "+r.format+" with box_space: "+r.space)
		}
	}
	return strings.Join(better, ", or ")
}

// senseful is how many boxes make sense in a way of reading; as pixels, none do when all or most are in the corner, as parts of
// the image are, also those of boxes that are larger than it.
func (e *boxesChecker) senseful(r reading) int {
	if r.space != repository.SpaceUnit && (e.reach < leastReach || 2*e.far < e.boxes) {
		return 0
	}
	return e.sense[r]
}

// share is the part of boxes that make sense.
func (e *boxesChecker) share(r reading) float64 { return float64(e.senseful(r)) / float64(e.boxes) }
