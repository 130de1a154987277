package v2

import (
	"encoding/binary"
	"math"
	"slices"

	"fovea/inference"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// imageInput is the one input of an image view: BYTES [-1,1], an encoded image in each row.
const imageInput = "image"

// view turns predictions into tensors. Each row is one image.
type view struct {
	outputs []TensorMetadata // with the dimension of the batch, which is -1
	// empty makes the outputs of a number of images, whose rows are padding.
	empty func(images int) []Output
	// write writes a prediction to its row of the outputs.
	write func(outputs []Output, row int, p postprocess.Prediction)
}

// viewOf is the view of a model; nil if it has no task.
func viewOf(info *inference.Info) *view {
	switch info.Definition.Task {
	case repository.Classification:
		return vectorView("scores", classesOf(info), func(p postprocess.Prediction) []float32 { return p.(*postprocess.Classified).Scores })
	case repository.Detection:
		return detectorView(int64(info.Definition.Output.MaxBoxes))
	}
	return taskView(info)
}

// classesOf is the number of classes of a classifier; -1 if the ONNX file leaves it open and there are no labels.
func classesOf(info *inference.Info) int64 {
	d := &info.Definition
	if n := len(d.Labels); n > 0 {
		return int64(n)
	}
	i := slices.IndexFunc(info.Outputs, func(t repository.TensorInfo) bool { return t.Name == d.Output.Name })
	if i < 0 || len(info.Outputs[i].Shape) < 2 {
		return -1
	}
	if flat := repository.Squeeze(info.Outputs[i].Shape[1:], 1); len(flat) == 1 && flat[0] > 0 {
		return flat[0] - int64(d.Output.ClassFirst)
	}
	return -1
}

// vectorView has a vector of each image, whose size is -1 if it is open. It is the same for all images.
func vectorView(name string, size int64, of func(postprocess.Prediction) []float32) *view {
	return &view{
		outputs: []TensorMetadata{{name, "FP32", []int64{-1, size}}},
		empty:   func(images int) []Output { return []Output{{name, "FP32", []int64{int64(images), 0}, nil}} },
		write: func(outputs []Output, row int, p postprocess.Prediction) {
			vector, out := of(p), &outputs[0]
			if out.Data == nil {
				out.Shape[1] = int64(len(vector))
				out.Data = make([]byte, 4*out.Shape[0]*out.Shape[1])
			}
			n := int(out.Shape[1])
			for i, v := range vector[:min(len(vector), n)] {
				putFloat(out.Data, row*n+i, v)
			}
		},
	}
}

// detectorView has the boxes, best first, up to a maximum, and padding after them.
func detectorView(most int64) *view {
	return &view{
		outputs: []TensorMetadata{{"num_detections", "INT32", []int64{-1, 1}}, {"detection_boxes", "FP32", []int64{-1, most, 4}},
			{"detection_scores", "FP32", []int64{-1, most}}, {"detection_classes", "INT32", []int64{-1, most}},
			{"detection_labels", Bytes, []int64{-1, most}}},
		empty: func(images int) []Output {
			n := int64(images)
			classes := make([]byte, 4*n*most)
			for i := range classes {
				classes[i] = 0xFF // -1
			}
			return []Output{{"num_detections", "INT32", []int64{n, 1}, make([]byte, 4*n)},
				{"detection_boxes", "FP32", []int64{n, most, 4}, make([]byte, 16*n*most)},
				{"detection_scores", "FP32", []int64{n, most}, make([]byte, 4*n*most)},
				{"detection_classes", "INT32", []int64{n, most}, classes},
				{"detection_labels", Bytes, []int64{n, most}, nil}}
		},
		write: func(outputs []Output, row int, p postprocess.Prediction) {
			objects, _ := p.(postprocess.Objects)
			writeBoxes(outputs, row, int(most), objects)
		},
	}
}

// writeBoxes writes the boxes of one image. The rows of labels, whose size varies, are written in order.
func writeBoxes(outputs []Output, row, most int, objects postprocess.Objects) {
	n := min(objects.Len(), most)
	putInt(outputs[0].Data, row, int32(n))
	labels := &outputs[4]
	for i := range most {
		if i >= n {
			labels.Data = AppendBytes(labels.Data, "")
			continue
		}
		b, at := objects.Box(i), row*most+i
		for k, v := range [...]float64{b.X1, b.Y1, b.X2, b.Y2} {
			putFloat(outputs[1].Data, 4*at+k, float32(v))
		}
		putFloat(outputs[2].Data, at, float32(b.Score))
		putInt(outputs[3].Data, at, int32(b.Class))
		labels.Data = AppendBytes(labels.Data, b.Label)
	}
}

func putFloat(data []byte, i int, v float32) {
	binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
}

func putInt(data []byte, i int, v int32) { binary.LittleEndian.PutUint32(data[4*i:], uint32(v)) }
