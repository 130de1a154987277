// Package postprocess turns one row of a model's outputs into an answer. Pure Go.
package postprocess

import (
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// Tensor is one row of one output: Shape without the batch dimension, Data in the machine's byte order. The
// data belongs to the batch: nothing may keep it after Decode returns.
type Tensor struct {
	Name  string
	DType repository.DType
	Shape []int64
	Data  []byte
}

// Params are what a request may change about its answer; zero values mean the definition's.
type Params struct {
	TopK  int      // 1–1000, and at most the number of classes
	Score *float64 // 0–1: detection score threshold
	IoU   *float64 // 0–1: detection IoU threshold, for models whose definition asks for suppression
}

// Prediction is what one image's answer is: *Classified or *Detected.
type Prediction interface{ prediction() }

// Class is one class of an answer.
type Class struct {
	Class int     `json:"class"`
	Label string  `json:"label"`
	Score float64 `json:"score"`
}

// Classified holds the classes of an image, best first.
type Classified struct {
	Top []Class `json:"top"`
}

// Box is a detected object, in pixels of the image as a person sees it.
type Box struct {
	Class int     `json:"class"`
	Label string  `json:"label"`
	Score float64 `json:"score"`
	X1    float64 `json:"x1"`
	Y1    float64 `json:"y1"`
	X2    float64 `json:"x2"`
	Y2    float64 `json:"y2"`
}

// Detected holds the objects of an image, best first.
type Detected struct {
	Boxes  []Box `json:"boxes"`
	Width  int   `json:"width"`
	Height int   `json:"height"`
	// Discarded is how many boxes scored enough, but lay so far outside that they cannot be meant: more than ten times the
	// input's side, or the image's where boxes count its pixels. Clipped, they would be boxes over the whole image.
	Discarded int `json:"-"`
}

func (*Classified) prediction() {}
func (*Detected) prediction()   {}

// Decoder turns rows into answers. It is safe for concurrent use.
type Decoder interface {
	// Decode reads the outputs of one row, in the order that New was given.
	Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error)
}
