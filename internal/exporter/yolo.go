package exporter

import (
	"slices"

	"fovea/internal/repository"
)

// cellCounts are the numbers of boxes of a grid for each stride, from 8 to 32, or to 64 as in P6 models.
func cellCounts(width, height, anchors int64) []int64 {
	counts, sum := []int64{}, int64(0)
	for stride := int64(8); stride <= 64; stride *= 2 {
		if sum += anchors * (width / stride) * (height / stride); stride >= 32 {
			counts = append(counts, sum)
		}
	}
	return counts
}

// yoloByShape recognizes YOLO detectors without metadata by the shape of their output.
func yoloByShape(b *builder) bool {
	if b.rawGrids() {
		b.detection("raw grids")
		b.fixedSize(640, 640, "usual of YOLO")
		b.assumed(func() {
			b.letterbox("usual of YOLO detectors", 0)
			b.say("input.inverse", repository.InverseGainUnrounded, "scale_boxes of YOLOv5")
		})
		return true
	}
	var out *repository.TensorInfo
	for i, t := range b.graph.Outputs {
		if len(t.Shape) == 3 && slices.Contains(repository.ScoreTypes(), t.DType) && out == nil {
			out = &b.graph.Outputs[i]
		}
	}
	if out == nil || slices.ContainsFunc(b.graph.Outputs, func(t repository.TensorInfo) bool { return len(t.Shape) == 4 }) {
		return false
	}
	rows, columns := out.Shape[1], out.Shape[2]
	from := "shape of " + describe(*out)
	const usual = "usual of YOLO detectors"
	width, height := b.size()
	cells := func(anchors int64) bool { return rows > 0 && slices.Contains(cellCounts(width, height, anchors), rows) }
	switch {
	case columns == 6 && rows > 0 && rows <= 1000:
		b.detection(from)
		b.yoloOutput(*out, true)
	case columns > 5 && cells(1) && b.graph.Ops["Exp"] == 0 && out.Name == "output":
		yoloxRaw(b, *out, from)
		return true
	case columns > 5 && rows > columns && (cells(3) || cells(1)):
		b.detection(from)
		b.say("output.decode", repository.DecodeYOLOv5, from)
		b.fitLabels(columns-repository.YOLOXHead, out.Name)
		if cells(1) && out.Name == "output" {
			yoloxInput(b)
			return true
		}
	case rows > 4 && columns > rows:
		b.detection(from)
		b.say("output.decode", repository.DecodeYOLO, from)
		b.fitLabels(rows-4, out.Name)
	default:
		return false
	}
	if len(b.graph.Outputs) > 1 {
		b.say("output.name", out.Name, from)
	}
	b.fixedSize(640, 640, usual)
	b.assumed(func() {
		b.letterbox(usual, 0)
		if b.values["output.decode"].text == repository.DecodeYOLOv5 {
			b.say("input.inverse", repository.InverseGainUnrounded, "scale_boxes of YOLOv5")
		}
	})
	b.yoloLimits(0.25, 0.45, usual)
	return true
}

// yoloxRaw sets the decoder of YOLOX exported without --decode_in_inference.
func yoloxRaw(b *builder, out repository.TensorInfo, from string) {
	b.detection(from)
	b.say("output.decode", repository.DecodeYOLOX, from+", and no Exp in model.onnx: not decoded")
	b.fitLabels(out.Shape[2]-repository.YOLOXHead, out.Name)
	yoloxInput(b)
}

// yoloxInput is YOLOX's preproc (yolox/data/data_augment.py): top left, gray 114, BGR from 0 to 255.
func yoloxInput(b *builder) {
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
	b.fixedSize(640, 640, usual)
}
