package verify

import (
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
)

func (c *changes) classification() {
	c.choices("output.decode", c.def.Output.Decode, []string{repository.DecodeSoftmax, repository.DecodeProbabilities, repository.DecodeSigmoid},
		func(d *repository.Definition, v string) { d.Output.Decode = v })
	c.flag("output.multi_label", c.def.Output.MultiLabel, func(d *repository.Definition, v bool) { d.Output.MultiLabel = v })
	c.classFirst()
}

// flag adds the other value of a key that is true or false.
func (c *changes) flag(key string, now bool, set func(d *repository.Definition, v bool)) {
	c.add(key, strconv.FormatBool(!now), func(d *repository.Definition) { set(d, !now) })
}

// classFirst moves the first labeled class by one.
func (c *changes) classFirst() {
	for _, step := range []int{1, -1} {
		if first := c.def.Output.ClassFirst + step; first >= 0 {
			c.add("output.class_first", strconv.Itoa(first), func(d *repository.Definition) { d.Output.ClassFirst = first })
		}
	}
}

func (c *changes) detection() {
	o := c.def.Output
	c.classFirst()
	c.decoder()
	c.boxes()
	c.suppression()
	for _, score := range []float64{0.001, 0.05, 0.25, 0.5} { // of evaluations, torchvision's detectors, Ultralytics' predict, many demonstrations
		if score != o.Score {
			c.add("output.score_threshold", number(score), func(d *repository.Definition) { d.Output.Score = score })
		}
	}
	for _, n := range []int{100, 300} {
		if n > o.MaxBoxes {
			c.add("output.max_boxes", strconv.Itoa(n), func(d *repository.Definition) { d.Output.MaxBoxes = n })
		}
	}
}

// decoder changes how scores are read: another decoder for rows of the same length, and the activation.
func (c *changes) decoder() {
	o := c.def.Output
	switch o.Decode {
	case repository.DecodeYOLOX, repository.DecodeYOLOv5, repository.DecodeYOLO:
		c.choices("output.decode", o.Decode, []string{repository.DecodeYOLO, repository.DecodeYOLOv5, repository.DecodeYOLOX}, setDecoder)
	}
	switch o.Decode {
	case repository.DecodeYOLO, repository.DecodeYOLOv5, repository.DecodeYOLOv5Raw:
		c.choices("output.activation", o.Activation, []string{repository.ActivationNone, repository.ActivationSigmoid}, setActivation)
	case repository.DecodeDETR:
		c.choices("output.activation", o.Activation, []string{repository.ActivationSigmoid, repository.ActivationSoftmax}, setActivation)
	}
}

func setActivation(d *repository.Definition, v string) { d.Output.Activation = v }

func setDecoder(d *repository.Definition, v string) {
	o := &d.Output
	o.Decode, o.Strides, o.BoxFormat, o.BoxSpace, o.Activation = v, nil, "", "", ""
	score, boxes := o.Score, o.MaxBoxes // also where they are 0
	*d = d.WithDefaults()
	d.Output.Score, d.Output.MaxBoxes = score, boxes
}

// boxes changes the format and space of boxes, and with rows the columns.
func (c *changes) boxes() {
	o := c.def.Output
	spaces := []string{repository.SpaceInput, repository.SpaceUnit, repository.SpaceOriginal}
	setSpace := func(d *repository.Definition, v string) { d.Output.BoxSpace = v }
	switch o.Decode {
	case repository.DecodeBoxes, repository.DecodeDETR, repository.DecodeYOLO, repository.DecodeYOLOv5:
		c.choices("output.box_format", o.BoxFormat, []string{repository.BoxXYXY, repository.BoxCXCYWH, repository.BoxXYWH, repository.BoxYXYX},
			func(d *repository.Definition, v string) { d.Output.BoxFormat = v })
		c.choices("output.box_space", o.BoxSpace, spaces, setSpace)
	case repository.DecodeRows:
		c.choices("output.box_space", o.BoxSpace, spaces, setSpace)
		c.columns()
	}
}

// columns renames the four columns of a box, and exchanges score and class.
func (c *changes) columns() {
	now := c.def.Output.Columns
	var box []int // where the box's columns are
	for i, name := range now {
		if !slices.Contains([]string{repository.ColumnScore, repository.ColumnClass, repository.ColumnBatch, repository.ColumnSkip}, name) {
			box = append(box, i)
		}
	}
	var alternatives [][]string
	for _, names := range [][]string{{"x1", "y1", "x2", "y2"}, {"y1", "x1", "y2", "x2"}, {"cx", "cy", "w", "h"}, {"x1", "y1", "w", "h"}} {
		columns := slices.Clone(now)
		for i, at := range box[:min(4, len(box))] {
			columns[at] = names[i]
		}
		alternatives = append(alternatives, columns)
	}
	if score, class := slices.Index(now, repository.ColumnScore), slices.Index(now, repository.ColumnClass); score >= 0 && class >= 0 {
		columns := slices.Clone(now)
		columns[score], columns[class] = now[class], now[score]
		alternatives = append(alternatives, columns)
	}
	for _, columns := range alternatives {
		if !slices.Equal(columns, now) {
			c.add("output.columns", "["+strings.Join(columns, ", ")+"]", func(d *repository.Definition) { d.Output.Columns = columns })
		}
	}
}

// overlaps are usual thresholds: of SSD, YOLOv5's val, torchvision and many others, YOLOX's val, and Ultralytics.
var overlaps = []float64{0.3, 0.45, 0.5, 0.6, 0.65, 0.7}

// suppression changes whether and how overlapping boxes are suppressed.
func (c *changes) suppression() {
	o := c.def.Output
	c.flag("output.multi_label", o.MultiLabel, func(d *repository.Definition, v bool) { d.Output.MultiLabel = v })
	if !o.Suppresses() {
		for _, iou := range overlaps {
			c.list = append(c.list, &Change{Lines: []Line{{"output.nms", repository.NMSGreedy}, {"output.iou_threshold", number(iou)}},
				apply: func(d *repository.Definition) { setSuppression(d, repository.NMSGreedy, iou) }})
		}
		return
	}
	c.list = append(c.list, &Change{Lines: []Line{{"output.nms", repository.NMSNone}}, Remove: []string{"output.iou_threshold"},
		apply: func(d *repository.Definition) { setSuppression(d, repository.NMSNone, 0) }})
	c.choices("output.nms", o.NMS, []string{repository.NMSGreedy, repository.NMSFast}, func(d *repository.Definition, v string) { d.Output.NMS = v })
	c.flag("output.class_agnostic", o.ClassAgnostic, func(d *repository.Definition, v bool) { d.Output.ClassAgnostic = v })
	for _, iou := range overlaps {
		if iou != o.IoU {
			c.add("output.iou_threshold", number(iou), func(d *repository.Definition) { d.Output.IoU = iou })
		}
	}
}

func setSuppression(d *repository.Definition, nms string, iou float64) {
	o := &d.Output
	o.NMS, o.IoU, o.ClassAgnostic, o.MaxCandidates = nms, iou, false, 0
	if nms != repository.NMSNone {
		o.MaxCandidates = repository.DefaultMaxCandidates
	}
}
