package inference

import (
	"image"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess/geometry"
)

// tiling is how an image is predicted in tiles.
type tiling struct {
	geometry.Tiles

	max     int  // tiles of an image
	whole   bool // the image is predicted as a whole, too
	merging postprocess.Merging
	params  postprocess.Params // of each tile
}

// tilingOf returns how the image of a request is cut into tiles; nil if it is not.
func (v *version) tilingOf(r *Request) (*tiling, error) {
	d, given := &v.definition, r.Tiles.first()
	t := r.Tiles.over(d.Tiles)
	switch {
	case given != "" && !d.Task.FindsObjects():
		return nil, apierror.New(apierror.InvalidParameter, "%s is for models that find objects (%s); the task of this model is %s", given, repository.ObjectTasks(), d.Task)
	case t.Size.IsZero() && given != "" && given != TileParam:
		return nil, apierror.New(apierror.InvalidParameter, "%s needs tile: the size of the tiles in pixels, such as 640 or 640x480", given)
	case t.Size.IsZero(), r.Row != nil:
		return nil, nil
	}
	score := d.Output.Score
	if r.Params.Score != nil {
		score = *r.Params.Score
	}
	out := &tiling{Tiles: geometry.Tiles{Size: image.Pt(t.Size.Width, t.Size.Height), Overlap: t.Overlap}, max: t.Max, whole: t.WholeImage, params: r.Params}
	out.merging = postprocess.Merging{Threshold: t.Threshold, Agnostic: d.Output.ClassAgnostic, Limit: r.Params.MaxBoxes}
	out.merging.Merge, out.merging.Metric = t.MergeOf(d.Task, score)
	if out.merging.Merge != repository.MergeNMS && !repository.Extends(d.Task) {
		return nil, apierror.New(apierror.InvalidParameter, "merge is %s, which does not apply to models whose task is %s; allowed: %s", out.merging.Merge, d.Task, repository.MergeNMS)
	}
	if out.params.MaxBoxes < d.Output.MaxBoxes {
		out.params.MaxBoxes = 0 // the definition's
	}
	return out, nil
}

// of returns the tiles of an image, and after them the image itself if it is predicted as a whole, too.
func (t *tiling) of(size image.Point) (rects []image.Rectangle, tiles int, err error) {
	if n := t.Count(size); n > t.max {
		return nil, 0, apierror.New(apierror.InvalidParameter, "the image of %d×%d pixels has %d tiles of %d×%d that overlap by %v; the limit of this model is %d: use larger tiles or less overlap",
			size.X, size.Y, n, t.Size.X, t.Size.Y, t.Overlap, t.max)
	}
	rects = t.Of(size)
	tiles = len(rects)
	if t.whole && tiles > 1 {
		rects = append(rects, image.Rectangle{Max: size})
	}
	return rects, tiles, nil
}
