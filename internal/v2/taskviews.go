package v2

import (
	"encoding/json"

	"fovea/inference"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// taskView is the view of a task besides classification and detection; nil if there is none.
func taskView(info *inference.Info) *view {
	o := &info.Definition.Output
	most := int64(o.MaxBoxes)
	switch info.Definition.Task {
	case repository.OrientedDetection:
		return objectsView(most, orientedColumns(most))
	case repository.TextDetection:
		return objectsView(most, cornerColumns(most))
	case repository.TextRecognition:
		return rowsView([]TensorMetadata{{"text", Bytes, []int64{-1, 1}}, {"score", "FP32", []int64{-1, 1}}}, func(out []Output, row int, p postprocess.Prediction) {
			r, _ := p.(*postprocess.Recognized)
			out[0].Data = AppendBytes(out[0].Data, r.Text)
			putFloat(out[1].Data, row, float32(r.Score))
		})
	case repository.InstanceSegmentation:
		return objectsView(most, maskColumns(most))
	case repository.Pose:
		return objectsView(most, pointColumns(most, int64(len(o.Point.Keypoints)), int64(o.Point.Values)))
	case repository.SemanticSegmentation:
		return rowsView([]TensorMetadata{{"class_map", Bytes, []int64{-1, 1}}}, func(out []Output, _ int, p postprocess.Prediction) {
			m, _ := p.(*postprocess.ClassMap)
			out[0].Data = AppendBytes(out[0].Data, string(m.PNG))
		})
	case repository.Embedding:
		return vectorView("embedding", -1, func(p postprocess.Prediction) []float32 { return p.(*postprocess.Embedded).Vector })
	case repository.Depth:
		return rowsView(mapOutputs("depth"), func(out []Output, row int, p postprocess.Prediction) {
			m, _ := p.(*postprocess.DepthMap)
			writeMap(out, row, m.Depth)
		})
	case repository.Anomaly:
		return anomalyView()
	case repository.ImageOutput:
		return rowsView([]TensorMetadata{{"generated_image", Bytes, []int64{-1, 1}}}, func(out []Output, _ int, p postprocess.Prediction) {
			m, _ := p.(*postprocess.Rendered)
			out[0].Data = AppendBytes(out[0].Data, string(m.PNG()))
		})
	}
	return nil
}

// objectColumns are outputs of what objects have besides boxes.
type objectColumns struct {
	outputs []TensorMetadata
	write   func(outputs []Output, row int, p postprocess.Prediction)
}

// objectsView is the view of a detector with more columns.
func objectsView(most int64, more objectColumns) *view {
	boxes := detectorView(most)
	n := len(boxes.outputs)
	extra := rowsView(more.outputs, more.write)
	return &view{
		outputs: append(boxes.outputs, more.outputs...),
		empty:   func(images int) []Output { return append(boxes.empty(images), extra.empty(images)...) },
		write: func(outputs []Output, row int, p postprocess.Prediction) {
			boxes.write(outputs[:n], row, p)
			extra.write(outputs[n:], row, p)
		},
	}
}

// rowsView has outputs of a fixed size for each image; those of BYTES are written in the order of the images.
func rowsView(outputs []TensorMetadata, write func(outputs []Output, row int, p postprocess.Prediction)) *view {
	return &view{outputs: outputs, write: write, empty: func(images int) []Output {
		list := make([]Output, len(outputs))
		for i, o := range outputs {
			shape := append([]int64{int64(images)}, o.Shape[1:]...)
			list[i] = Output{Name: o.Name, Datatype: o.Datatype, Shape: shape}
			if n, _ := elements(shape); o.Datatype != Bytes {
				list[i].Data = make([]byte, n*int64(Size(o.Datatype)))
			}
		}
		return list
	}}
}

// cornerColumns has x and y of the four corners of each object.
func cornerColumns(most int64) objectColumns {
	return objectColumns{[]TensorMetadata{{"detection_corners", "FP32", []int64{-1, most, 4, 2}}}, func(out []Output, row int, p postprocess.Prediction) {
		list, _ := p.(postprocess.Quadrilaterals)
		for i := range min(list.Len(), int(most)) {
			for k, corner := range list.Quadrilateral(i) {
				at := 8*(row*int(most)+i) + 2*k
				putFloat(out[0].Data, at, float32(corner[0]))
				putFloat(out[0].Data, at+1, float32(corner[1]))
			}
		}
	}}
}

func orientedColumns(most int64) objectColumns {
	corners := cornerColumns(most)
	return objectColumns{append(corners.outputs, TensorMetadata{"detection_angles", "FP32", []int64{-1, most}}), func(out []Output, row int, p postprocess.Prediction) {
		corners.write(out[:1], row, p)
		list, _ := p.(*postprocess.Oriented)
		for i, b := range list.Boxes[:min(len(list.Boxes), int(most))] {
			putFloat(out[1].Data, row*int(most)+i, float32(b.Angle))
		}
	}}
}

// maskColumns has each mask as JSON in COCO's form, {"size":[height,width],"counts":"…"}.
func maskColumns(most int64) objectColumns {
	return objectColumns{[]TensorMetadata{{"detection_masks", Bytes, []int64{-1, most}}}, func(out []Output, _ int, p postprocess.Prediction) {
		list, _ := p.(*postprocess.Segmented)
		for i := range int(most) {
			text := ""
			if i < len(list.Boxes) {
				data, err := json.Marshal(list.Boxes[i].Mask)
				if err != nil {
					panic(err) // numbers and text only
				}
				text = string(data)
			}
			out[0].Data = AppendBytes(out[0].Data, text)
		}
	}}
}

// pointColumns has x and y of each point and, with three values, its visibility.
func pointColumns(most, points, values int64) objectColumns {
	return objectColumns{[]TensorMetadata{{"detection_keypoints", "FP32", []int64{-1, most, points, values}}}, func(out []Output, row int, p postprocess.Prediction) {
		list, _ := p.(*postprocess.Posed)
		for i, b := range list.Boxes[:min(len(list.Boxes), int(most))] {
			for j, k := range b.Keypoints {
				at := ((row*int(most)+i)*int(points) + j) * int(values)
				putFloat(out[0].Data, at, float32(k.X))
				putFloat(out[0].Data, at+1, float32(k.Y))
				if values > 2 && k.Visibility != nil {
					putFloat(out[0].Data, at+2, float32(*k.Visibility))
				}
			}
		}
	}}
}

// mapOutputs are a map as a PNG of 16 bits, whose pixels times the scale plus the offset are its numbers.
func mapOutputs(name string) []TensorMetadata {
	return []TensorMetadata{{name, Bytes, []int64{-1, 1}}, {name + "_scale", "FP32", []int64{-1, 1}}, {name + "_offset", "FP32", []int64{-1, 1}}}
}

func writeMap(out []Output, row int, m *postprocess.Map) {
	data, scale, offset := m.PNG()
	out[0].Data = AppendBytes(out[0].Data, string(data))
	putFloat(out[1].Data, row, float32(scale))
	putFloat(out[2].Data, row, float32(offset))
}

func anomalyView() *view {
	outputs := append(mapOutputs("anomaly_map"), TensorMetadata{"score", "FP32", []int64{-1, 1}}, TensorMetadata{"anomalous", "BOOL", []int64{-1, 1}})
	return rowsView(outputs, func(out []Output, row int, p postprocess.Prediction) {
		m, _ := p.(*postprocess.AnomalyMap)
		writeMap(out, row, m.Map)
		putFloat(out[3].Data, row, float32(m.Score))
		if m.Anomalous {
			out[4].Data[row] = 1
		}
	})
}
