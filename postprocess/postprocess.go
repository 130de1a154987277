// Package postprocess decodes one row of a model's outputs into a prediction: classes (classify.go), or objects from
// finished boxes (boxes.go) or from a YOLOX grid (yolox.go) after non-maximum suppression (suppress.go). NewTrialCheck checks
// a definition against the outputs of trial runs. It is pure Go.
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
	TopK  int      // 1–1000, and at most the number of classes
	Score *float64 // 0–1: detection score threshold
	IoU   *float64 // 0–1: detection IoU threshold, for models whose definition asks for suppression
}

// Prediction is the result for one image: *Classified or *Detected.
type Prediction interface{ prediction() }

// Class is one class of a prediction.
type Class struct {
	Class int     `json:"class"`
	Label string  `json:"label"`
	Score float64 `json:"score"`
}

// Classified holds the classes of an image, best first.
type Classified struct {
	Top []Class `json:"top"`
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
func (p Params) classification(o *repository.Output, classes int) (topK int, err error) {
	if p.Score != nil || p.IoU != nil {
		return 0, apierror.New(apierror.InvalidParameter,
			"score_threshold and iou_threshold are for detection; this model classifies and takes top_k")
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

// thresholds are those of a detection. Without suppress all overlapping boxes are kept; only the definition decides that, a
// request only sets the threshold.
type thresholds struct {
	score    float32
	iou      float64
	suppress bool
}

func (p Params) detection(o *repository.Output) (thresholds, error) {
	if p.TopK != 0 {
		return thresholds{}, apierror.New(apierror.InvalidParameter,
			"top_k is for classification; this model detects and takes score_threshold and iou_threshold")
	}
	t := thresholds{float32(o.Score), o.IoU, o.Suppresses()}
	if p.Score != nil {
		if !(*p.Score >= 0 && *p.Score <= 1) {
			return t, apierror.New(apierror.InvalidParameter, "score_threshold: %v is out of range (0–1)", *p.Score)
		}
		t.score = float32(*p.Score)
	}
	if p.IoU == nil {
		return t, nil
	}
	if !t.suppress {
		return t, apierror.New(apierror.InvalidParameter, "iou_threshold is for models with non-maximum suppression; "+
			"the boxes of this one are final, and it takes score_threshold")
	}
	if !(*p.IoU >= 0 && *p.IoU <= 1) {
		return t, apierror.New(apierror.InvalidParameter, "iou_threshold: %v is out of range (0–1)", *p.IoU)
	}
	t.iou = *p.IoU
	return t, nil
}
