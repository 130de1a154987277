// Package exporter knows how programs export ONNX models: it infers a model's definition from its ONNX file and from the
// files next to it, such as labels.txt, config.json or preprocessor_config.json. Each exporter has a recognizer, from those that
// describe themselves in the file's metadata (Ultralytics) to those known only by the names and shapes of their outputs
// (torchvision, TensorFlow's Object Detection API). It is pure Go.
//
// Nothing is guessed silently: every value has an origin, values that nothing in the files says are marked as assumed, and
// what has no usual value is a question.
package exporter

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// recognizer fills a definition if a model looks like those of its exporter. It reports whether it does.
type recognizer struct {
	name      string // for set's exporter
	exporter  string // for people
	recognize func(b *builder) bool
}

// described are those of models that the metadata in the file or files next to it describe, in the order of trust.
var described = []recognizer{
	{"fovea", "Fovea", fovea},
	{"ultralytics", "Ultralytics", ultralytics},
	{"yolov5", "YOLOv5", yolov5},
	{"openvino", "OpenVINO's Model API", modelAPI},
	{"timm", "timm", timm},
	{"huggingface", "Hugging Face", huggingFace},
	{"paddledetection", "PaddleDetection", paddleDetection},
	{"paddleocr", "PaddleOCR", paddleOCR},
}

// byShape are those of models that only the names and shapes of their tensors tell. Triton's config.pbtxt precedes them.
var byShape = []recognizer{
	{"task", "", saidTask},
	{"text", "", textByShape},
	{"anomalib", "anomalib", anomalib},
	{"yunet", "YuNet", yunet},
	{"customvision", "Custom Vision", customVision},
	{"tfod", "TensorFlow Object Detection API", tensorFlowDetection},
	{"mmdeploy", "MMDeploy", mmdeploy},
	{"efficientnms", "TensorRT's EfficientNMS", efficientNMS},
	{"yolonas", "super-gradients", yoloNAS},
	{"rfdetr", "RF-DETR", rfdetr},
	{"rtdetr", "RT-DETR, D-FINE or DEIM", deployedDETR},
	{"detr", "DETR", detr},
	{"ssd", "SSD", ssd},
	{"torchvision", "torchvision", torchvisionDetection},
	{"yolov7", "YOLOv7 with NMS", yolov7},
	{"yoloseg", "YOLO", yoloInstances},
	{"yolo", "YOLO", yoloByShape},
	{"boxes", "a detector with finished boxes", finishedBoxes},
	{"embedding", "a model of vectors", embeddingByShape},
	{"classifier", "a classifier", classifier},
	{"segmentation", "a model of semantic segmentation", semanticByShape},
}

// Infer is the repository.InferFunc. Besides keys of model.yaml, set takes the shorthands of settings.go.
func Infer(graph *repository.Graph, beside fs.FS, set map[string]string) (*repository.Inferred, error) {
	b := &builder{graph: graph, files: beside, values: map[string]value{}, objects: map[string]map[string]any{}}
	if err := b.readSettings(set); err != nil {
		return nil, err
	}
	if err := b.findImage(); err != nil {
		return nil, err
	}
	if err := b.readTriton(); err != nil {
		return nil, err
	}
	if task := b.otherTask(); task != "" {
		return nil, otherTaskError(task)
	}
	if op := b.foreignOperator(); op != "" {
		return nil, fmt.Errorf("model.onnx has the operator %s of TensorRT, which ONNX Runtime does not have: export the model without "+
			"suppression, or with ONNX's NonMaxSuppression", op)
	}
	if !b.recognizedBy(described) {
		if b.tritonWidth > 0 {
			b.fixedSize(b.tritonWidth, b.tritonHeight, tritonFile)
		}
		b.pixelMetadata()
		if !b.recognizedBy(byShape) {
			return nil, b.unrecognized()
		}
	}
	return b.finish()
}

// recognizedBy reports whether one of the recognizers knows the model.
func (b *builder) recognizedBy(list []recognizer) bool {
	for _, r := range list {
		if b.wanted == "" || b.wanted == r.name {
			if r.recognize(b) {
				b.exporter = cmp.Or(b.exporter, r.exporter)
				return true
			}
		}
	}
	return false
}

// names lists the names that set's exporter takes.
func names() []string {
	var list []string
	for _, r := range slices.Concat(described, byShape) {
		list = append(list, r.name)
	}
	return list
}

// unrecognized is the error of a model that no recognizer knows.
func (b *builder) unrecognized() error {
	const hint = "say task=TASK, or write a model.yaml"
	if b.wanted != "" {
		return fmt.Errorf("the outputs are not those of exporter=%s: %s; %s", b.wanted, describeAll(b.graph.Outputs), hint)
	}
	return fmt.Errorf("the outputs are those of no known classifier or detector: %s; %s", describeAll(b.graph.Outputs), hint)
}

// describeAll lists tensors with their types and shapes.
func describeAll(list []repository.TensorInfo) string {
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = describe(t)
	}
	return strings.Join(texts, ", ")
}

// describe formats a tensor's name, type and shape.
func describe(t repository.TensorInfo) string {
	return fmt.Sprintf("%q %s %s", t.Name, t.DType, repository.FormatShape(t.Shape))
}

// shapeOf is the origin of a value that a tensor's shape tells.
func shapeOf(t repository.TensorInfo) string { return "shape of " + describe(t) }

// shapesOf is the origin of a value that the shapes of two tensors tell.
func shapesOf(a, b repository.TensorInfo) string {
	return fmt.Sprintf("shapes of %s and %s", describe(a), describe(b))
}
