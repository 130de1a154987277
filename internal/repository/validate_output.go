package repository

import "fovea/internal/config"

// MaxTopK is how many classes a prediction holds at most.
const MaxTopK = 1000

const (
	maxBoxes   = 10000
	maxStrides = 8
	maxStride  = 1024
)

func (d *Definition) checkOutput(errs *config.Errors) {
	o := &d.Output
	config.Range(errs, "output.class_first", o.ClassFirst, 0, maxLabels)
	switch d.Task {
	case Classification:
		errs.OneOf("output.decode", o.Decode, DecodeSoftmax, DecodeProbabilities)
		config.Range(errs, "output.top_k", o.TopK, 1, MaxTopK)
	case Detection:
		errs.OneOf("output.decode", o.Decode, DecodeYOLOX, DecodeBoxes)
		config.Range(errs, "output.score_threshold", o.Score, 0, 1)
		config.Range(errs, "output.iou_threshold", o.IoU, 0, 1)
		config.Range(errs, "output.max_boxes", o.MaxBoxes, 1, maxBoxes)
		if o.TopK != 0 {
			errs.Add("output.top_k", "only applies with task: classification")
		}
	}
	if d.Task != Detection && (o.Score != 0 || o.IoU != 0 || o.MaxBoxes != 0) {
		errs.Add("output", "score_threshold, iou_threshold and max_boxes only apply with task: detection")
	}
	d.checkYOLOX(errs)
	o.checkBoxes(errs)
}

func (d *Definition) checkYOLOX(errs *config.Errors) {
	strides := d.Output.Strides
	if d.Output.Decode != DecodeYOLOX {
		if len(strides) > 0 {
			errs.Add("output.strides", "only applies with decode: yolox")
		}
		return
	}
	if len(strides) == 0 || len(strides) > maxStrides {
		errs.Add("output.strides", "has %d values; the limit is 1 to %d", len(strides), maxStrides)
	}
	for i, s := range strides {
		key := config.Index("output.strides", i)
		config.Range(errs, key, s, 1, maxStride)
		if s > 0 && (d.Input.Width%s != 0 || d.Input.Height%s != 0) {
			errs.Add(key, "%d does not divide the input's %d×%d pixels", s, d.Input.Width, d.Input.Height)
		}
	}
}

func (o *Output) checkBoxes(errs *config.Errors) {
	if o.Decode != DecodeBoxes {
		if o.Boxes != "" || o.Scores != "" || o.Classes != "" || o.BoxFormat != "" || o.BoxSpace != "" {
			errs.Add("output", "boxes, scores, classes, box_format and box_space only apply with decode: boxes")
		}
		return
	}
	if o.Name != "" {
		errs.Add("output.name", "does not apply with decode: boxes; use boxes, scores and classes")
	}
	if o.Boxes == "" {
		errs.Add("output.boxes", "is required: the name of the output with the boxes")
	}
	if o.Scores == "" {
		errs.Add("output.scores", "is required: the name of the output with the scores")
	}
	if o.Boxes != "" && (o.Boxes == o.Scores || o.Boxes == o.Classes) || o.Scores != "" && o.Scores == o.Classes {
		errs.Add("output", "boxes, scores and classes must name different outputs")
	}
	errs.OneOf("output.box_format", o.BoxFormat, BoxXYXY, BoxYXYX, BoxCXCYWH, BoxXYWH)
	errs.OneOf("output.box_space", o.BoxSpace, SpaceOriginal, SpaceInput, SpaceUnit)
}
