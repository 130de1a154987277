package repository

// MaxTopK is how many classes a prediction holds at most.
const MaxTopK = 1000

const (
	maxBoxes   = 10000
	maxStrides = 8
	maxStride  = 1024
)

func (d *Definition) checkOutput(m *mistakes) {
	o := &d.Output
	between(m, "output.class_first", o.ClassFirst, 0, maxLabels)
	switch d.Task {
	case Classification:
		m.oneOf("output.decode", o.Decode, DecodeSoftmax, DecodeProbabilities)
		between(m, "output.top_k", o.TopK, 1, MaxTopK)
	case Detection:
		m.oneOf("output.decode", o.Decode, DecodeYOLOX, DecodeBoxes)
		between(m, "output.score_threshold", o.Score, 0, 1)
		between(m, "output.iou_threshold", o.IoU, 0, 1)
		between(m, "output.max_boxes", o.MaxBoxes, 1, maxBoxes)
		if o.TopK != 0 {
			m.add("output.top_k", "has a meaning only with task: classification")
		}
	}
	if d.Task != Detection && (o.Score != 0 || o.IoU != 0 || o.MaxBoxes != 0) {
		m.add("output", "score_threshold, iou_threshold and max_boxes have a meaning only with task: detection")
	}
	d.checkYOLOX(m)
	o.checkBoxes(m)
}

func (d *Definition) checkYOLOX(m *mistakes) {
	strides := d.Output.Strides
	if d.Output.Decode != DecodeYOLOX {
		if len(strides) > 0 {
			m.add("output.strides", "has a meaning only with decode: yolox")
		}
		return
	}
	if len(strides) == 0 || len(strides) > maxStrides {
		m.add("output.strides", "has %d values; allowed: 1 to %d", len(strides), maxStrides)
	}
	for i, s := range strides {
		key := indexKey("output.strides", i)
		between(m, key, s, 1, maxStride)
		if s > 0 && (d.Input.Width%s != 0 || d.Input.Height%s != 0) {
			m.add(key, "%d does not divide the input's %d×%d pixels", s, d.Input.Width, d.Input.Height)
		}
	}
}

func (o *Output) checkBoxes(m *mistakes) {
	if o.Decode != DecodeBoxes {
		if o.Boxes != "" || o.Scores != "" || o.Classes != "" || o.BoxFormat != "" || o.BoxSpace != "" {
			m.add("output", "boxes, scores, classes, box_format and box_space have a meaning only with decode: boxes")
		}
		return
	}
	if o.Name != "" {
		m.add("output.name", "has no meaning with decode: boxes; name boxes, scores and classes")
	}
	if o.Boxes == "" {
		m.add("output.boxes", "must be given: the name of the output that holds boxes")
	}
	if o.Scores == "" {
		m.add("output.scores", "must be given: the name of the output that holds scores")
	}
	if o.Boxes != "" && (o.Boxes == o.Scores || o.Boxes == o.Classes) || o.Scores != "" && o.Scores == o.Classes {
		m.add("output", "boxes, scores and classes must name different outputs")
	}
	m.oneOf("output.box_format", o.BoxFormat, BoxXYXY, BoxYXYX, BoxCXCYWH, BoxXYWH)
	m.oneOf("output.box_space", o.BoxSpace, SpaceOriginal, SpaceInput, SpaceUnit)
}
