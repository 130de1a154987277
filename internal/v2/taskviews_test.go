package v2

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"fovea/inference"
	"fovea/internal/repository"
	"fovea/postprocess"
)

func floatAt(o Output, i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(o.Data[4*i:]))
}

// written are the outputs of a task's view for predictions.
func written(t *testing.T, task repository.Task, o repository.Output, predictions ...postprocess.Prediction) map[string]Output {
	t.Helper()
	v := viewOf(&inference.Info{Definition: repository.Definition{Task: task, Output: o}})
	if v == nil {
		t.Fatalf("%s has no view", task)
	}
	outputs := v.empty(len(predictions))
	for row, p := range predictions {
		v.write(outputs, row, p)
	}
	byName := map[string]Output{}
	for i, o := range outputs {
		want := v.outputs[i]
		if o.Name != want.Name || o.Datatype != want.Datatype || len(o.Shape) != len(want.Shape) || o.Shape[0] != int64(len(predictions)) {
			t.Errorf("%s: output %s %s %v, the metadata say %+v", task, o.Name, o.Datatype, o.Shape, want)
		}
		n, _ := elements(o.Shape)
		if o.Datatype == Bytes {
			if _, err := SplitBytes(o.Data, n, o.Name); err != nil {
				t.Errorf("%s: %v", task, err)
			}
		} else if int64(len(o.Data)) != n*int64(Size(o.Datatype)) {
			t.Errorf("%s: output %s has %d bytes", task, o.Name, len(o.Data))
		}
		byName[o.Name] = o
	}
	return byName
}

func text(t *testing.T, o Output, i int) string {
	t.Helper()
	n, _ := elements(o.Shape)
	list, err := SplitBytes(o.Data, n, o.Name)
	if err != nil {
		t.Fatal(err)
	}
	return string(list[i])
}

func TestEveryTaskHasAView(t *testing.T) {
	for _, task := range repository.Tasks() {
		info := &inference.Info{Definition: repository.Definition{Task: task, Output: repository.Output{MaxBoxes: 2}}}
		if v := viewOf(info); (v == nil) == task.SeesImages() {
			t.Errorf("%s: %v", task, v)
		}
	}
}

func TestViewsOfObjects(t *testing.T) {
	most := repository.Output{MaxBoxes: 2}
	box := postprocess.Box{Class: 3, Label: "cat", Score: 0.5, X1: 1, Y1: 2, X2: 3, Y2: 4}
	oriented := written(t, repository.OrientedDetection, most, &postprocess.Oriented{},
		&postprocess.Oriented{Boxes: []postprocess.OrientedBox{{Box: box, Corners: [4][2]float64{{1, 2}, {3, 4}, {5, 6}, {7, 8}}, Angle: 0.25}}})
	if o := oriented["detection_corners"]; floatAt(o, 16) != 1 || floatAt(o, 23) != 8 || floatAt(o, 24) != 0 || floatAt(oriented["detection_angles"], 2) != 0.25 || floatAt(oriented["detection_boxes"], 8) != 1 {
		t.Errorf("corners %v", o.Data)
	}
	mask := &postprocess.Mask{Width: 4, Height: 3, Runs: []uint32{7, 1, 4}}
	masks := written(t, repository.InstanceSegmentation, most, &postprocess.Segmented{}, &postprocess.Segmented{Boxes: []postprocess.Instance{{Box: box, Mask: mask}}})
	if o := masks["detection_masks"]; text(t, o, 0) != "" || text(t, o, 2) != `{"size":[3,4],"counts":"714"}` || text(t, o, 3) != "" || text(t, masks["detection_labels"], 2) != "cat" {
		t.Errorf("masks %q", o.Data)
	}
	seen := 0.75
	pose := most
	pose.Point = repository.PointOutput{Keypoints: []string{"a", "b"}, Values: 3}
	points := written(t, repository.Pose, pose, &postprocess.Posed{Boxes: []postprocess.PosedBox{{Box: box}, {Box: box, Keypoints: []postprocess.Keypoint{{X: 1, Y: 2, Visibility: &seen}, {X: 3, Y: 4, Visibility: &seen}}}}})
	if o := points["detection_keypoints"]; floatAt(o, 6) != 1 || floatAt(o, 8) != 0.75 || floatAt(o, 10) != 4 {
		t.Errorf("points %v", o.Data)
	}
}

func TestViewsOfMapsAndVectors(t *testing.T) {
	m := &postprocess.Map{Width: 2, Height: 1, Values: []float32{1, 65536}}
	depth := written(t, repository.Depth, repository.Output{}, &postprocess.DepthMap{Depth: m}, &postprocess.DepthMap{Depth: m})
	if floatAt(depth["depth_scale"], 1) != 1 || floatAt(depth["depth_offset"], 1) != 1 || !strings.HasPrefix(text(t, depth["depth"], 1), "\x89PNG") {
		t.Errorf("depth %+v", depth)
	}
	anomaly := written(t, repository.Anomaly, repository.Output{}, &postprocess.AnomalyMap{Map: m}, &postprocess.AnomalyMap{Score: 0.75, Anomalous: true, Map: m})
	if floatAt(anomaly["score"], 1) != 0.75 || anomaly["anomalous"].Data[0] != 0 || anomaly["anomalous"].Data[1] != 1 {
		t.Errorf("anomaly %+v", anomaly)
	}
	vectors := written(t, repository.Embedding, repository.Output{}, &postprocess.Embedded{Vector: []float32{1, 2}}, &postprocess.Embedded{Vector: []float32{3, 4}})
	if o := vectors["embedding"]; o.Shape[1] != 2 || floatAt(o, 3) != 4 {
		t.Errorf("vectors %+v", vectors)
	}
	classes := written(t, repository.SemanticSegmentation, repository.Output{}, &postprocess.ClassMap{PNG: []byte("png")})
	if text(t, classes["class_map"], 0) != "png" {
		t.Errorf("classes %+v", classes)
	}
}
