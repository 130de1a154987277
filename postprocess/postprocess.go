// Package postprocess decodes one row of a model's outputs into a prediction: classes (classify.go), or objects: from boxes
// with scores (yolo.go, boxes.go), raw grids (yolox.go, yolov5raw.go), rows of finished boxes (rows.go) or queries (detr.go),
// within the limits of the definition and the request (limits.go) and after non-maximum suppression (suppress.go).
// NewTrialCheck checks a definition against the outputs of trial runs. It is pure Go.
package postprocess

import (
	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// Tensor is one row of one output: Shape without the batch dimension, Data in the machine's byte order. Data belongs to the
// batch and is not kept after Decode returns.
type Tensor struct {
	Name  string
	DType repository.DType
	Shape []int64
	Data  []byte
}

// Params are the options of a request; zero values mean the definition's.
type Params struct {
	TopK     int      // classification: 1–1000, and at most the number of classes
	Score    *float64 // detection: 0–1, score threshold of every class
	IoU      *float64 // detection: 0–1, IoU threshold, for models whose definition asks for suppression
	Classes  []string // detection: labels or numbers; boxes of other classes neither appear nor suppress
	MaxBoxes int      // detection: 1–MaxBoxes
	All      bool     // classification: also Classified.Scores
	Encoding string   // of masks, maps, vectors and images: one of Encodings; empty: the default of the task
}

// MaxBoxes is how many boxes a request may ask for.
const MaxBoxes = 1000

// Prediction is the result for one image: *Classified, *Detected, or that of another task (task.go).
type Prediction interface{ prediction() }

// Class is one class of a prediction.
type Class struct {
	Class int     `json:"class"`
	Label string  `json:"label"`
	Score float64 `json:"score"`
}

// Classified holds the classes of an image, best first.
type Classified struct {
	Top    []Class   `json:"top"`
	Scores []float32 `json:"-"` // with Params.All: of all classes, by their number
}

// Box is a detected object, in pixels of the orientation-corrected image.
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
	Tiles  int   `json:"tiles,omitempty"` // see Frame
	// Discarded counts boxes that reached the threshold but lie implausibly far outside: by more than ten times the side of
	// the input, or of the image where boxes are in its pixels. Clipped, they would cover the whole image.
	Discarded int `json:"-"`
}

func (*Classified) prediction() {}
func (*Detected) prediction()   {}

// Decoder turns rows into predictions. It is safe for concurrent use.
type Decoder interface {
	// Decode decodes the outputs of one row, in the order passed to New.
	Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error)
	trialCheck() TrialCheck
}

// classification returns the number of classes in the prediction.
func (p *Params) classification(o *repository.Output, classes int) (topK int, err error) {
	if p.Score != nil || p.IoU != nil || len(p.Classes) > 0 || p.MaxBoxes != 0 {
		return 0, apierror.New(apierror.InvalidParameter,
			"score_threshold, iou_threshold, classes and max_boxes are for detection; this model classifies and takes top_k")
	}
	if _, err := p.encoding(); err != nil {
		return 0, err
	}
	limit := min(repository.MaxTopK, classes)
	if p.TopK == 0 {
		return min(o.TopK, limit), nil
	}
	if p.TopK < 1 || p.TopK > limit {
		return 0, apierror.New(apierror.InvalidParameter, "top_k: %d is out of range (1–%d)", p.TopK, limit)
	}
	return p.TopK, nil
}
