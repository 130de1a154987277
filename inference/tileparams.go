package inference

import (
	"fmt"
	"slices"
	"strings"

	"fovea/internal/apierror"
	"fovea/internal/repository"
)

// The parameters of requests about tiles.
const (
	TileParam           = "tile"
	OverlapParam        = "overlap"
	MergeParam          = "merge"
	MergeMetricParam    = "merge_metric"
	MergeThresholdParam = "merge_threshold"
	WholeImageParam     = "whole_image"
)

// TileParameters lists the parameters that TileParams.Set takes.
func TileParameters() []string {
	return []string{TileParam, OverlapParam, MergeParam, MergeMetricParam, MergeThresholdParam, WholeImageParam}
}

// TileParams are what a request says about tiles; zero values mean the definition's.
type TileParams struct {
	Size       *repository.TileSize // zero: no tiles
	Overlap    *float64
	Merge      string
	Metric     string
	Threshold  *float64
	WholeImage *bool
}

// Set sets a parameter: tile to a number or a text, overlap and merge_threshold to a number, whole_image to a switch or its text, the others
// to a text.
func (p *TileParams) Set(name string, value any) *apierror.Error {
	switch name {
	case TileParam:
		var size repository.TileSize
		if err := size.UnmarshalText([]byte(fmt.Sprint(value))); err != nil {
			return apierror.New(apierror.InvalidParameter, "tile: %s", err)
		}
		p.Size = &size
	case OverlapParam:
		return setNumber(&p.Overlap, name, value, repository.CheckOverlap)
	case MergeThresholdParam:
		return setNumber(&p.Threshold, name, value, repository.CheckMergeThreshold)
	case MergeParam:
		return setWord(&p.Merge, name, value, repository.Merges())
	case MergeMetricParam:
		return setWord(&p.Metric, name, value, repository.MergeMetrics())
	case WholeImageParam:
		text := fmt.Sprint(value)
		if text != "true" && text != "false" {
			return apierror.New(apierror.InvalidParameter, "whole_image is %s; allowed: true, false", apierror.Quote(text))
		}
		whole := text == "true"
		p.WholeImage = &whole
	}
	return nil
}

func setNumber(to **float64, name string, value any, check func(float64) error) *apierror.Error {
	n, ok := value.(float64)
	if !ok {
		return apierror.New(apierror.InvalidParameter, "%s is not a number: %s", name, apierror.Quote(fmt.Sprint(value)))
	}
	if err := check(n); err != nil {
		return apierror.New(apierror.InvalidParameter, "%s: %s", name, err)
	}
	*to = &n
	return nil
}

func setWord(to *string, name string, value any, allowed []string) *apierror.Error {
	text, ok := value.(string)
	if !ok || !slices.Contains(allowed, text) {
		return apierror.New(apierror.InvalidParameter, "%s is %s; allowed: %s", name, apierror.Quote(fmt.Sprint(value)), strings.Join(allowed, ", "))
	}
	*to = text
	return nil
}

// first is the name of a parameter that is given; empty if none is. That of the size comes last.
func (p *TileParams) first() string {
	switch {
	case p.Overlap != nil:
		return OverlapParam
	case p.Merge != "":
		return MergeParam
	case p.Metric != "":
		return MergeMetricParam
	case p.Threshold != nil:
		return MergeThresholdParam
	case p.WholeImage != nil:
		return WholeImageParam
	case p.Size != nil:
		return TileParam
	}
	return ""
}

// over returns the definition's tiles with what the request says.
func (p *TileParams) over(t repository.Tiles) repository.Tiles {
	if p.Size != nil {
		t.Size = *p.Size
	}
	if p.Overlap != nil {
		t.Overlap = *p.Overlap
	}
	if p.Merge != "" {
		t.Merge = p.Merge
	}
	if p.Metric != "" {
		t.Metric = p.Metric
	}
	if p.Threshold != nil {
		t.Threshold = *p.Threshold
	}
	if p.WholeImage != nil {
		t.WholeImage = *p.WholeImage
	}
	return t
}
