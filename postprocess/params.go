package postprocess

import (
	"fovea/internal/apierror"
	"fovea/internal/repository"
)

// classification returns how many classes to answer with.
func (p Params) classification(o *repository.Output, classes int) (topK int, err error) {
	if p.Score != nil || p.IoU != nil {
		return 0, apierror.New(apierror.InvalidParameter,
			"score_threshold and iou_threshold belong to detection; this model classifies and takes top_k")
	}
	limit := min(repository.MaxTopK, classes)
	if p.TopK == 0 {
		return min(o.TopK, limit), nil
	}
	if p.TopK < 1 || p.TopK > limit {
		return 0, apierror.New(apierror.InvalidParameter, "top_k is %d; allowed: 1 to %d", p.TopK, limit)
	}
	return p.TopK, nil
}

// thresholds are what a detection uses. suppress is false when boxes that overlap are all kept; the definition alone
// decides it, and a request only sets the threshold.
type thresholds struct {
	score    float32
	iou      float64
	suppress bool
}

func (p Params) detection(o *repository.Output) (thresholds, error) {
	if p.TopK != 0 {
		return thresholds{}, apierror.New(apierror.InvalidParameter,
			"top_k belongs to classification; this model detects and takes score_threshold and iou_threshold")
	}
	t := thresholds{float32(o.Score), o.IoU, o.IoU > 0 || o.Decode == repository.DecodeYOLOX}
	if p.Score != nil {
		if !(*p.Score >= 0 && *p.Score <= 1) {
			return t, apierror.New(apierror.InvalidParameter, "score_threshold is %v; allowed: 0 to 1", *p.Score)
		}
		t.score = float32(*p.Score)
	}
	if p.IoU == nil {
		return t, nil
	}
	if !t.suppress {
		return t, apierror.New(apierror.InvalidParameter, "iou_threshold belongs to models whose overlapping boxes are suppressed; "+
			"the boxes of this one are final, and it takes score_threshold")
	}
	if !(*p.IoU >= 0 && *p.IoU <= 1) {
		return t, apierror.New(apierror.InvalidParameter, "iou_threshold is %v; allowed: 0 to 1", *p.IoU)
	}
	t.iou = *p.IoU
	return t, nil
}
