package exporter

import (
	"fmt"
	"slices"

	"fovea/internal/repository"
)

// maxFinished is how many rows of finished boxes an output of fixed size has at most.
const maxFinished = 1000

// cellCounts are the numbers of boxes of the grids of several strides together: of 8 to 32, to 64 as in P6 models, from 4 as in P2
// models, and of 16 and 32 as in tiny ones.
func cellCounts(width, height, anchors int64) (counts []int64) {
	for _, strides := range [][2]int64{{8, 32}, {8, 64}, {4, 32}, {4, 64}, {16, 32}} {
		sum := int64(0)
		for s := strides[0]; s <= strides[1]; s *= 2 {
			sum += anchors * (width / s) * (height / s)
		}
		counts = append(counts, sum)
	}
	return counts
}

// isCells reports whether n is the number of boxes of the input's grids.
func (b *builder) isCells(n, anchors int64) bool {
	width, height := b.size()
	return n > 0 && slices.Contains(cellCounts(width, height, anchors), n)
}

// table sets the decoder of one output of boxes and scores.
func (b *builder) table(out repository.TensorInfo, decode string) {
	b.decodes(out, decode, shapeOf(out))
}

// decodes sets the decoder of one output, and names the output if there are others.
func (b *builder) decodes(out repository.TensorInfo, decode, from string) {
	if len(b.graph.Outputs) > 1 {
		b.say("output.name", out.Name, from)
	}
	b.say("output.decode", decode, from)
}

// finishedRows sets the decoder of rows of finished boxes.
func (b *builder) finishedRows(out repository.TensorInfo, columns ...string) {
	b.table(out, repository.DecodeRows)
	from := shapeOf(out)
	b.say("output.columns", columns, from)
	b.say("output.box_space", repository.SpaceInput, from)
}

// yoloLimits sets the thresholds of YOLO detectors.
func (b *builder) yoloLimits(score, iou float64, from string) {
	b.say("output.score_threshold", score, from)
	b.say("output.max_boxes", 300, from)
	if decode := b.values["output.decode"].text; decode != repository.DecodeRows && decode != repository.DecodeBoxes {
		b.say("output.iou_threshold", iou, from)
	}
}

// yoloByShape recognizes YOLO detectors without metadata by the shape of their output.
func yoloByShape(b *builder) bool {
	const usual = "usual of YOLO detectors"
	if b.rawGrids() {
		b.detection("raw grids")
		b.yoloInput(usual)
		b.assumed(func() { b.yoloLimits(0.25, 0.45, usual) })
		return true
	}
	out := b.yoloTable()
	if out == nil {
		return false
	}
	b.findLabels()
	layout := b.yoloLayout(*out)
	switch {
	case layout.asked:
	case layout.decode == "":
		return false
	case layout.decode == repository.DecodeRows:
		b.finishedRows(*out, "x1", "y1", "x2", "y2", "score", "class")
	case layout.assumed != "":
		b.assume("output.decode", layout.decode, layout.assumed)
		fallthrough
	default:
		b.table(*out, layout.decode)
		b.fitLabels(layout.classes, out.Name)
	}
	b.detection(shapeOf(*out))
	if b.isYOLOX(*out) {
		b.yolox(*out)
		return true
	}
	b.yoloInput(usual)
	b.assumed(func() { b.yoloLimits(0.25, 0.45, usual) })
	return true
}

// yoloTable returns the only output of three dimensions, or the first of several, unless one has four, which may be of masks.
func (b *builder) yoloTable() (out *repository.TensorInfo) {
	for i, t := range b.graph.Outputs {
		switch {
		case len(t.Shape) == 4:
			return nil
		case len(t.Shape) != 3, !slices.Contains(repository.ScoreTypes(), t.DType), b.outputName() != "" && b.outputName() != t.Name:
		case out == nil:
			out = &b.graph.Outputs[i]
		}
	}
	return out
}

// yoloLayout is how an output holds boxes. assumed is the reason if the shape does not tell.
type yoloLayout struct {
	decode  string // empty: no layout of a YOLO
	classes int64  // -1: open
	assumed string
	asked   bool
}

// yoloLayout tells the layouts [n,5+C], [n,4+C], [4+C,n] and [n,6] of finished boxes apart: by the number of cells of the input's
// grids, where it is known, and by the number of labels.
func (b *builder) yoloLayout(out repository.TensorInfo) yoloLayout {
	rows, columns := out.Shape[1], out.Shape[2]
	turned := yoloLayout{decode: repository.DecodeYOLO, classes: rows - 4}
	finished := yoloLayout{decode: repository.DecodeRows}
	ends := b.graph.Ops["NonMaxSuppression"] > 0 || b.graph.Ops["TopK"] > 0
	said := b.settings["output.decode"]
	switch {
	case columns == 6 && said == repository.DecodeRows:
		return finished
	case b.isCells(rows, 3) && columns > repository.YOLOXHead:
		return yoloLayout{decode: repository.DecodeYOLOv5, classes: columns - repository.YOLOXHead}
	case b.isCells(rows, 1) && columns > 4:
		return b.objectness(out)
	case b.isCells(columns, 1) && rows > 4:
		return turned
	case columns == 6 && rows > 0 && rows <= maxFinished, columns == 6 && rows < 0 && ends:
		return finished
	case columns == 6 && rows < 0 && said == "" && len(b.labels) == 0:
		b.ask("output.decode", fmt.Sprintf("%s may hold finished boxes, an objectness and one class, or two classes", describe(out)),
			repository.DecodeRows, repository.DecodeYOLOv5, repository.DecodeYOLO)
		return yoloLayout{asked: true}
	case columns > 4 && rows < 0:
		return b.objectness(out)
	case rows > 4 && columns < 0, rows > 4 && columns > rows && b.isOpen():
		return turned
	case rows > 4 && columns > max(rows, 64):
		turned.assumed = "YOLO's boxes are taken for columns, although their number is not that of the usual strides"
		return turned
	}
	return yoloLayout{}
}

// objectness tells rows with an objectness after the box, as of YOLOv5, YOLOv6 and YOLOX, from rows without: by the number of
// labels, or that of COCO, or by the names that the exporters of the former give an output.
func (b *builder) objectness(out repository.TensorInfo) yoloLayout {
	columns := out.Shape[2]
	with := yoloLayout{decode: repository.DecodeYOLOv5, classes: columns - repository.YOLOXHead}
	without := yoloLayout{decode: repository.DecodeYOLO, classes: columns - 4}
	said := b.settings["output.decode"]
	switch n := int64(len(b.labels)); {
	case said == repository.DecodeYOLO, columns == 5, n > 0 && columns == 4+n && said == "", n == 0 && columns == 84 && said == "":
		return without
	case said != "", n > 0, columns == 85, out.Name == "output", out.Name == "outputs":
		return with
	}
	with.assumed = fmt.Sprintf("%d columns are taken for a box, an objectness and scores, as of YOLOv5, YOLOv6 and YOLOX; without an objectness this is yolo", columns)
	return with
}

// yoloInput is the preprocessing of YOLO detectors, unless the graph normalizes.
func (b *builder) yoloInput(usual string) {
	b.usualSize(640, usual)
	b.normalizedInside()
	b.assumed(func() {
		b.letterbox(usual, 0)
		if decode := b.values["output.decode"].text; decode == repository.DecodeYOLOv5 || decode == repository.DecodeYOLOv5Raw {
			b.say("input.inverse", repository.InverseGainUnrounded, "scale_boxes of YOLOv5")
		}
	})
}

// isYOLOX reports whether an output is YOLOX's (tools/export_onnx.py calls it output): one box for each cell.
func (b *builder) isYOLOX(out repository.TensorInfo) bool {
	return out.Name == "output" && b.isCells(out.Shape[1], 1) && b.values["output.decode"].text == repository.DecodeYOLOv5
}

// yolox sets YOLOX's preproc (yolox/data/data_augment.py): top left, gray 114, BGR from 0 to 255. Exports without
// --decode_in_inference leave the grid and the exponential to who reads them.
func (b *builder) yolox(out repository.TensorInfo) {
	if b.graph.Ops["Exp"] == 0 {
		b.values["output.decode"] = value{repository.DecodeYOLOX, shapeOf(out) + ", and no Exp in model.onnx: not decoded", false}
	}
	const usual = "YOLOX's preproc"
	b.exporter = "YOLOX"
	b.assumed(func() {
		b.say("input.resize", string(repository.Letterbox), usual)
		b.say("input.place", "top_left", usual)
		b.say("input.inverse", repository.InverseGain, "YOLOX's demo")
		b.say("input.fill", []float64{114}, usual)
		b.say("input.interpolation", repository.OpenCVLinear, usual)
		b.say("input.color", repository.ColorBGR, usual)
		b.yoloLimits(0.3, 0.45, "YOLOX's demo")
	})
	b.usualSize(640, usual)
}
