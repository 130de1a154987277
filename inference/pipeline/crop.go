package pipeline

import (
	"fmt"
	"image"
	"math"
	"slices"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess"
	"fovea/preprocess/geometry"
)

// crop is how the objects of a step are cropped.
type crop struct {
	*repository.Crop

	points []int            // numbers of the object's points, in the order of target
	target []geometry.Point // where they are in the crop
}

// newCrop checks whether objects of a model can be cropped so.
func newCrop(c *repository.Crop, of *repository.Definition) (crop, error) {
	out := crop{Crop: c}
	switch {
	case c.By == repository.CropQuad && of.Task != repository.OrientedDetection && of.Task != repository.TextDetection:
		return out, fmt.Errorf("crop.by: objects of model %s have no corners: its task is %s", of.Name, of.Task)
	case c.By != repository.CropPoints:
		return out, nil
	case of.Task != repository.Pose:
		return out, fmt.Errorf("crop.by: objects of model %s have no points: its task is %s", of.Name, of.Task)
	}
	names := of.Output.Point.Keypoints
	wanted := c.Keypoints
	if len(wanted) == 0 {
		wanted = names
	}
	if len(wanted) != len(c.Target) {
		return out, fmt.Errorf("crop.keypoints: objects of model %s have %d points, and the target %d; name those that it is for", of.Name, len(wanted), len(c.Target))
	}
	for i, name := range wanted {
		n := slices.Index(names, name)
		if n < 0 {
			return out, fmt.Errorf("crop.keypoints: %q is no point of model %s, which has %s", name, of.Name, some(names))
		}
		out.points = append(out.points, n)
		out.target = append(out.target, geometry.Point{c.Target[i][0], c.Target[i][1]})
	}
	return out, nil
}

// view is what a step sees: a part of the image that objects are in pixels of.
type view struct {
	of   *preprocess.Image
	area image.Rectangle     // empty: all of it
	warp *preprocess.Warping // instead of an area
}

// pixels returns the view's own pixels, and what frees them.
func (v *view) pixels() (img *preprocess.Image, free func(), err error) {
	switch {
	case v.warp != nil:
		img, err = v.of.Warp(*v.warp)
	case !v.area.Empty():
		img, err = v.of.Crop(v.area)
	default:
		return v.of, func() {}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return img, img.Close, nil
}

// turned returns the view of a part of an image, turned by a number of quarter turns counterclockwise.
func (v *view) turned(turns int) *view {
	if turns == 0 {
		return v
	}
	if v.warp != nil {
		warp := *v.warp
		warp.Turns += turns
		return &view{of: v.of, warp: &warp}
	}
	area := v.area
	if area.Empty() {
		width, height := v.of.Size()
		area = image.Rect(0, 0, width, height)
	}
	move := geometry.Matrix{1, 0, -float64(area.Min.X), 0, 1, -float64(area.Min.Y), 0, 0, 1}
	return &view{of: v.of, warp: &preprocess.Warping{ToCrop: move, Width: area.Dx(), Height: area.Dy(), Turns: turns}}
}

// view returns the crop of an object of a prediction that was made of an image, turned by a number of quarter turns counterclockwise.
func (c *crop) view(of *preprocess.Image, p postprocess.Prediction, i, turns int) (*view, error) {
	var warp *preprocess.Warping
	switch c.By {
	case repository.CropBox:
		return (&view{of: of, area: c.box(p, i)}).turned(turns), nil
	case repository.CropQuad:
		warp = c.quad(p, i)
	default:
		warp = c.aligned(p, i)
	}
	if warp == nil {
		return nil, apierror.New(apierror.Internal, "object %d cannot be cropped: its corners or points lie on a line", i)
	}
	return (&view{of: of, warp: warp}).turned(turns), nil
}

// box returns the pixels of an object's box with the margin, which may reach beyond the image.
func (c *crop) box(p postprocess.Prediction, i int) image.Rectangle {
	b := p.(postprocess.Objects).Box(i)
	x, y := c.Margin*(b.X2-b.X1), c.Margin*(b.Y2-b.Y1)
	r := geometry.Box{MinX: b.X1 - x, MinY: b.Y1 - y, MaxX: b.X2 + x, MaxY: b.Y2 + y}.Pixels()
	return image.Rectangle{Min: r.Min, Max: image.Pt(max(r.Max.X, r.Min.X+1), max(r.Max.Y, r.Min.Y+1))}
}

// quad returns how the corners of an object become those of a rectangle; nil if three of them lie on a line.
func (c *crop) quad(p postprocess.Prediction, i int) *preprocess.Warping {
	corners := p.(postprocess.Quadrilaterals).Quadrilateral(i)
	width, height := preprocess.QuadSize(corners)
	w, h := float64(width), float64(height)
	m, ok := geometry.Perspective(corners, [4]geometry.Point{{0, 0}, {w, 0}, {w, h}, {0, h}})
	if !ok {
		return nil
	}
	turns := 0
	if c.TurnTall > 0 && h/w >= c.TurnTall {
		turns = 1
	}
	return &preprocess.Warping{ToCrop: m, Width: width, Height: height, Cubic: true, Turns: turns}
}

// aligned returns how the points of an object come closest to the target; nil if they are all the same.
func (c *crop) aligned(p postprocess.Prediction, i int) *preprocess.Warping {
	keypoints := p.(*postprocess.Posed).Boxes[i].Keypoints
	from := make([]geometry.Point, len(c.points))
	for k, n := range c.points {
		from[k] = geometry.Point{keypoints[n].X, keypoints[n].Y}
	}
	m, ok := geometry.Similarity(from, c.target)
	if scale := math.Hypot(m[0], m[3]); !ok || scale > maxEnlarged {
		return nil
	}
	return &preprocess.Warping{ToCrop: m, Width: c.Width, Height: c.Height}
}

// maxEnlarged is by how much points that lie close together may be enlarged to those of a target.
const maxEnlarged = 1e4
