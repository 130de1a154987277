package repository

import (
	"path"
	"slices"
	"strings"
)

// labelFiles are in the order of preference.
var labelFiles = []string{"labels.txt", "classes.txt", "label.txt", "names.txt", "coco.names", "obj.names", "imagenet_classes.txt",
	"synset.txt", "label_map.pbtxt", "labelmap.txt", "labels.json", "id2label.json", "class_indices.json", "data.yaml", "metadata.yaml"}

// describingFiles are what exporters and hubs write next to a model besides labels.
var describingFiles = []string{"config.json", "preprocessor_config.json", "processor_config.json", "config.pbtxt", "infer_cfg.yml",
	"inference.yml", "pipeline.json"}

// LabelFiles lists the usual names of files with the labels of a model: one per line (.txt, .names), a label map of TensorFlow's Object
// Detection API (.pbtxt), a list or dict (.json), or the key names of a dataset of YOLO (.yaml).
func LabelFiles() []string { return slices.Clone(labelFiles) }

// SidecarFiles lists the names of all files that may describe a model next to its model.onnx.
func SidecarFiles() []string { return slices.Concat(describingFiles, labelFiles) }

// IsDictionary reports whether a file's name is that of one with the characters of a model that reads text, as PaddleOCR names them:
// ppocr_keys_v1.txt, en_dict.txt, ppocrv5_dict.txt.
func IsDictionary(name string) bool {
	base := strings.ToLower(path.Base(name))
	if strings.HasPrefix(base, ".") || path.Ext(base) != ".txt" {
		return false
	}
	for _, part := range []string{"dict", "keys", "charset", "characters", "vocab", "alphabet"} {
		if strings.Contains(base, part) {
			return true
		}
	}
	return false
}
