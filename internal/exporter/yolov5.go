package exporter

import (
	"fmt"
	"slices"

	"fovea/internal/repository"
)

// yolov5 recognizes exports of YOLOv5's export.py and of what follows it, such as YOLOv9's, which write names and stride into the
// metadata.
func yolov5(b *builder) bool {
	if b.graph.Metadata["names"] == "" || b.graph.Metadata["stride"] == "" {
		return false
	}
	b.metadataLabels()
	if outs := b.graph.Outputs; len(outs) == 1 && classesOf(outs[0]) != 0 && b.graph.Ops["NonMaxSuppression"] == 0 {
		b.yolov5Classify()
		return true
	}
	const usual = "YOLOv5 detect.py"
	b.say("task", string(repository.Detection), "metadata names and stride")
	b.usualSize(640, usual)
	b.letterbox(usual+" letterbox", b.stride())
	b.say("input.inverse", repository.InverseGainUnrounded, usual+" scale_boxes")
	if !b.rawGrids() && !efficientNMS(b) && !yolov7(b) {
		if out := b.singleOutput(3); out != nil {
			b.yolov5Table(*out)
		}
	}
	b.yoloLimits(0.25, 0.45, usual)
	return true
}

// yolov5Table sets the decoder of [n,5+C], or of YOLOv9's [4+C,n], or of other layouts that models with such metadata have.
func (b *builder) yolov5Table(out repository.TensorInfo) {
	const head = repository.YOLOXHead
	if len(b.graph.Outputs) > 1 && len(b.labels) > 0 && out.Shape[2] > head+int64(len(b.labels)) {
		b.notInferred("segmentation, since its boxes have more columns than labels")
		return
	}
	switch layout := b.yoloLayout(out); layout.decode {
	case repository.DecodeRows:
		b.finishedRows(out, "x1", "y1", "x2", "y2", "score", "class")
	case "":
		b.table(out, repository.DecodeYOLOv5)
	default:
		b.table(out, layout.decode)
		b.fitLabels(layout.classes, out.Name)
	}
}

// yolov5Classify sets what YOLOv5's classify_transforms (utils/augmentations.py) does: the largest square of the center is resized by
// OpenCV. The scores are logits.
func (b *builder) yolov5Classify() {
	const usual = "YOLOv5 classify_transforms"
	out := b.graph.Outputs[0]
	b.say("task", string(repository.Classification), shapeOf(out))
	b.usualSize(224, usual)
	b.say("input.resize", string(repository.CropFirst), usual)
	b.say("input.interpolation", repository.OpenCVLinear, usual)
	b.color(usual)
	b.sayNormalization(normalizations["imagenet"], usual)
	b.scores(out)
	b.fitLabels(classesOf(out), out.Name)
}

// rawGrids recognizes outputs of YOLOv5 before its anchors are applied, one for each stride: [N,3,h,w,5+C], or [N,3·(5+C),h,w] with
// as many labels.
func (b *builder) rawGrids() bool {
	var grids []repository.TensorInfo
	for _, t := range b.graph.Outputs {
		if b.isGrid(t) {
			grids = append(grids, t)
		}
	}
	if len(grids) < 2 || len(grids) != len(b.graph.Outputs) {
		return false
	}
	from := shapeOf(grids[0])
	b.say("output.decode", repository.DecodeYOLOv5Raw, from)
	if b.graph.OutputOps[grids[0].Name] == "Sigmoid" {
		b.say("output.activation", repository.ActivationNone, "model.onnx ends with Sigmoid")
	}
	strides := b.gridStrides(grids)
	switch {
	case strides != nil:
		b.say("output.strides", strides, "shapes of the outputs")
	case len(grids) == 3:
		strides = []int{8, 16, 32}
		b.assume("output.strides", strides, "YOLOv5's strides")
	default:
		b.ask("output.strides", fmt.Sprintf("the strides of %d grids are not in the file", len(grids)), "[8,16,32,64]")
	}
	if slices.Equal(strides, []int{8, 16, 32}) {
		b.assume("output.anchors", repository.YOLOv5Anchors(), "YOLOv5's; YOLOv7 and trained anchors differ")
	} else {
		b.ask("output.anchors", fmt.Sprintf("the widths and heights of the anchors of %d grids are not in the file", len(grids)))
	}
	if shape := grids[0].Shape; len(shape) == 5 {
		b.fitLabels(shape[4]-repository.YOLOXHead, grids[0].Name)
	}
	return true
}

// isGrid reports whether an output has the numbers of three anchors for each cell.
func (b *builder) isGrid(t repository.TensorInfo) bool {
	switch len(t.Shape) {
	case 5:
		return t.Shape[1] == 3 && t.Shape[4] > repository.YOLOXHead && slices.Contains(repository.ScoreTypes(), t.DType)
	case 4:
		b.findLabels()
		return len(b.labels) > 0 && t.Shape[1] == int64(3*(repository.YOLOXHead+len(b.labels)))
	}
	return false
}

// gridStrides are the strides of grids, the finest first; nil if an open size does not tell them.
func (b *builder) gridStrides(grids []repository.TensorInfo) (strides []int) {
	for _, t := range grids {
		h := t.Shape[len(t.Shape)-2]
		if len(t.Shape) == 5 {
			h = t.Shape[2]
		}
		if h < 1 || b.height < h || b.height%h != 0 {
			return nil
		}
		strides = append(strides, int(b.height/h))
	}
	slices.Sort(strides)
	return strides
}
