package postprocess

import (
	"fmt"
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

// boxesCheck is the aspect of the format and space of boxes. It counts how many boxes are plausible in each reading.
type boxesCheck struct {
	def       *repository.Definition
	key       string  // of the boxes
	output    string  // with the boxes
	said      reading // as the definition reads them
	cells     bool    // the output has the box of every cell or query, good or not
	boxes     int
	first     []float32 // the numbers of the first run that had boxes
	plausible map[reading]int
	reach     float64 // the largest number of all boxes
	far       int     // boxes with a number that may be pixels of the input, see someReach
	hits      int     // boxes that overlap the image, read as the definition says
	ordered   int     // boxes whose last two numbers are not below the first two
	late      int     // boxes that begin in the last quarter of the image
	negative  int     // boxes with a size below 0, read as a size
	shorter   int     // side of the input
}

func newBoxesCheck(def *repository.Definition, key, output string, cells bool) *boxesCheck {
	return &boxesCheck{def: def, key: key, output: output, said: reading{def.Output.BoxFormat, def.Output.BoxSpace}, cells: cells,
		plausible: map[reading]int{}}
}

func (e *boxesCheck) add(row *trialRow) {
	if len(row.boxes) > 0 && slices.Equal(row.boxes, e.first) {
		return // the same as in the first run
	}
	if len(e.first) == 0 {
		e.first = slices.Clone(row.boxes)
	}
	n := len(row.boxes) / 4
	for i := 0; i < n; i += 1 + n/maxBoxes { // spread over the image
		e.box([4]float64{float64(row.boxes[4*i]), float64(row.boxes[4*i+1]), float64(row.boxes[4*i+2]), float64(row.boxes[4*i+3])},
			row.best[i], row.transform)
	}
}

func (e *boxesCheck) box(box [4]float64, score float32, transform geometry.Transform) {
	if box[0] == box[1] && box[1] == box[2] && box[2] == box[3] || box[0]-box[0]+box[1]-box[1]+box[2]-box[2]+box[3]-box[3] != 0 {
		return // padding, or not finite
	}
	if score <= 0 {
		return // padding, too
	}
	e.boxes++
	reach := max(math.Abs(box[0]), math.Abs(box[1]), math.Abs(box[2]), math.Abs(box[3]))
	e.reach = max(e.reach, reach)
	e.shorter = min(transform.InputW, transform.InputH)
	if someReach*reach >= float64(e.shorter) {
		e.far++
	}
	if min(box[2], box[3]) < 0 {
		e.negative++
	}
	for _, r := range e.readings() {
		e.try(r, box, transform)
	}
	e.order(box, transform)
}

// readings lists the readings of a box. Pixels of the image are one of them if the model gets the image's size or the
// definition says so.
func (e *boxesCheck) readings() (list []reading) {
	spaces := []string{repository.SpaceUnit, repository.SpaceInput}
	if e.def.Output.BoxSpace == repository.SpaceOriginal || hasSizeInput(e.def) {
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
func (e *boxesCheck) try(r reading, row [4]float64, transform geometry.Transform) {
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
func (e *boxesCheck) order(row [4]float64, transform geometry.Transform) {
	if row[2] >= row[0] && row[3] >= row[1] {
		e.ordered++
	}
	w, h := extent(e.def.Output.BoxSpace, transform)
	if row[0] > 0.75*w || row[1] > 0.75*h {
		e.late++
	}
	box := corners(e.def.Output.BoxFormat, row[0], row[1], row[2], row[3])
	if box.x1 <= box.x2 && box.y1 <= box.y2 && box.x2 >= 0 && box.y2 >= 0 && box.x1 <= w && box.y1 <= h {
		e.hits++
	}
}

func (e *boxesCheck) findings(f *Findings) {
	o := e.def.Output
	e.compareReadings(f)
	if o.Decode == repository.DecodeBoxes && o.BoxFormat != repository.BoxYXYX &&
		(strings.Contains(o.Boxes, "detection_boxes") || strings.Contains(o.Boxes, "TFLite_Detection_PostProcess")) {
		f.warn("output.box_format: says %s, but TensorFlow's Object Detection API, whose name for boxes is %q, puts y first; "+
			"try output.box_format: yxyx", o.BoxFormat, o.Boxes)
	}
	if o.BoxSpace == repository.SpaceOriginal && !hasSizeInput(e.def) && o.Decode == repository.DecodeBoxes {
		f.warn("output.box_space: says original, but none of input.extra is the image's size")
	}
}

// hasSizeInput reports whether an input of the model tells the image's size, so that boxes may be in its pixels.
func hasSizeInput(def *repository.Definition) bool {
	return slices.ContainsFunc(def.Input.Extra, func(x repository.Extra) bool {
		return x.Value != repository.InputSizeWH && x.Value != repository.InputSizeHW
	})
}

// compareReadings compares the definition's reading of boxes with the others.
func (e *boxesCheck) compareReadings(f *Findings) {
	if e.boxes == 0 {
		return
	}
	own, best := e.share(e.said), 0.0
	for _, r := range e.readings() {
		best = max(best, e.share(r))
	}
	sized, many := e.said.format == repository.BoxCXCYWH || e.said.format == repository.BoxXYWH, e.boxes >= someBoxes
	yolov5, centers := e.def.Output.Decode == repository.DecodeYOLOv5, reading{repository.BoxCXCYWH, e.said.space}
	corner := e.said.space == repository.SpaceInput && e.reach < float64(e.shorter)/someReach // all lie there
	switch {
	case yolov5 && e.boxes >= manySizes && (corner && best < 0.5 || sized && 5*e.negative >= e.boxes):
		f.judge(corner, "output.decode: says yolov5, but boxes of output %q reach no farther than %.4g and %d of %d have a size below 0 in "+
			"trial runs, as in a raw grid; try output.decode: yolox", e.output, e.reach, e.negative, e.boxes)
	case own < 0.6 && best-own >= 0.3:
		otherUnit := own == 0 && best >= 0.5 && (e.said.space == repository.SpaceUnit && 10*e.far >= 9*e.boxes || e.said.space != repository.SpaceUnit && e.reach < minReach)
		f.judge((own <= 0.05 && best >= 0.9 || otherUnit) && many, "%s: read with %s, only %d of %d boxes of output %q are plausible in trial runs; "+
			"more are with %s%s", e.key, e.words(e.said), e.plausibleIn(e.said), e.boxes, e.output, e.atLeast(best-0.05), e.orSize(best-0.05))
	case e.cells && many && e.said != centers && e.share(centers)-own >= 0.1:
		f.warn("%s: read with %s, %d of %d boxes of output %q are plausible in trial runs; more are with %s, as detectors of this kind have them",
			e.key, e.words(e.said), e.plausibleIn(e.said), e.boxes, e.output, e.words(centers))
	case own < 0.1 && many && 10*e.hits < e.boxes:
		f.warn("%s: only %d of %d boxes of output %q lie on the image in trial runs, and no other format or "+
			"box_space is more plausible", e.key, e.hits, e.boxes, e.output)
	case sized && many && 50*e.ordered >= 49*e.boxes && 10*e.late >= e.boxes:
		f.warn("%s: says %s, but in %d of %d boxes of output %q the last two numbers are not below the first two in "+
			"trial runs, as in second corners; try %s", e.formatKey(), e.said.format, e.ordered, e.boxes, e.output,
			e.words(reading{repository.BoxXYXY, e.said.space}))
	}
}

// formatKey is the key that says the format.
func (e *boxesCheck) formatKey() string {
	if e.def.Output.Decode == repository.DecodeRows {
		return "output.columns"
	}
	return "output.box_format"
}

// words are the keys and values of a reading.
func (e *boxesCheck) words(r reading) string {
	if e.def.Output.Decode == repository.DecodeRows {
		return fmt.Sprintf("columns: [%s, …] with box_space: %s", strings.Join(rawColumns[r.format], ", "), r.space)
	}
	return "box_format: " + r.format + " with box_space: " + r.space
}

// rawColumns are the columns of rows that have a box in a format.
var rawColumns = map[string][]string{
	repository.BoxXYXY:   {"x1", "y1", "x2", "y2"},
	repository.BoxYXYX:   {"y1", "x1", "y2", "x2"},
	repository.BoxCXCYWH: {"cx", "cy", "w", "h"},
	repository.BoxXYWH:   {"x1", "y1", "w", "h"},
}

// atLeast lists the readings that make at least a share of the boxes plausible.
func (e *boxesCheck) atLeast(share float64) string {
	var better []string
	for _, r := range e.readings() {
		if e.share(r) >= share {
			better = append(better, e.words(r))
		}
	}
	return strings.Join(better, ", or ")
}

// orSize names the other key that may be wrong if boxes in pixels of the image seem to have y first.
func (e *boxesCheck) orSize(share float64) string {
	turned := reading{repository.BoxYXYX, repository.SpaceOriginal}
	if e.said != (reading{repository.BoxXYXY, repository.SpaceOriginal}) || !hasSizeInput(e.def) || e.share(turned) < share {
		return ""
	}
	return "; or the model takes the image's size in the other order: check the values of input.extra"
}

// plausibleIn returns the number of boxes that are plausible in a reading. As pixels none is if all or most lie in the corner, as
// fractions of the image do even for boxes larger than it.
func (e *boxesCheck) plausibleIn(r reading) int {
	if r.space != repository.SpaceUnit && (e.reach < minReach || 2*e.far < e.boxes) {
		return 0
	}
	return e.plausible[r]
}

// share returns the share of boxes that are plausible in a reading.
func (e *boxesCheck) share(r reading) float64 { return float64(e.plausibleIn(r)) / float64(e.boxes) }
