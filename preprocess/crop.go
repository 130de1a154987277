package preprocess

import (
	"context"
	"image"
	"image/color"
	"math"

	"gocv.io/x/gocv"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
	"fovea/preprocess/header"
)

// DecodeWhole decodes an image for any plan, without alpha: at its own size, every pixel of it. It is otherwise like Plan.Decode.
func DecodeWhole(ctx context.Context, data []byte, info header.Info) (*Image, error) {
	return decodeWhole(ctx, data, info, repository.ColorRGB)
}

// DecodeWhole works like the function, and with alpha if the plan's input has it.
func (p *Plan) DecodeWhole(ctx context.Context, data []byte, info header.Info) (*Image, error) {
	if p.input.Channels() == 4 {
		return decodeWhole(ctx, data, info, repository.ColorRGBA)
	}
	return decodeWhole(ctx, data, info, repository.ColorRGB)
}

func decodeWhole(ctx context.Context, data []byte, info header.Info, colors string) (*Image, error) {
	p, err := NewPlan(repository.Input{Resize: repository.NoResize, Color: colors, DType: repository.Uint8}.WithDefaults())
	if err != nil {
		return nil, err
	}
	return p.Decode(ctx, data, info)
}

// Size returns the orientation-corrected size.
func (img *Image) Size() (width, height int) { return img.size.Width, img.size.Height }

// Area returns the rectangle of a larger image that the image was cropped from, if predictions are to be in pixels of that, and the size of that.
// Of other images it is empty.
func (img *Image) Area() (area image.Rectangle, whole image.Point) { return img.area, img.whole }

// Crop returns a copy of a rectangle of an image that DecodeWhole has returned, within its orientation-corrected bounds. Its Area is that
// rectangle. All of an opaque image shares its pixels. It may be called concurrently, as may Warp and, of opaque images, Plan.Pack.
func (img *Image) Crop(r image.Rectangle) (*Image, error) {
	w, h := img.Size()
	r = r.Intersect(image.Rect(0, 0, w, h))
	if r.Empty() {
		return nil, apierror.New(apierror.Internal, "the crop is outside of the image")
	}
	stored := storedRect(r, img.mat.Cols(), img.mat.Rows(), img.orientation)
	out := &Image{orientation: img.orientation, size: img.size, area: r, whole: image.Pt(w, h)}
	out.size.Width, out.size.Height = r.Dx(), r.Dy()
	if r.Size() == out.whole && img.alpha.Ptr() == nil { // packing only changes colors that have alpha
		out.mat = own(img.mat.Region(stored))
		return out, nil
	}
	out.mat = cropped(img.mat, stored)
	if img.alpha.Ptr() != nil {
		out.alpha = cropped(img.alpha, stored)
	}
	return out, nil
}

// cropped copies a rectangle of a matrix.
func cropped(mat native, r image.Rectangle) native {
	part := own(mat.Region(r))
	defer part.free()
	return own(part.Clone())
}

// Warping says which pixels of an image become a crop: the one at (x, y) goes to ToCrop.Map({x, y}). As in OpenCV, coordinates are those of
// the centers of pixels, so that the first one is at (0, 0).
type Warping struct {
	ToCrop        geometry.Matrix
	Width, Height int
	// Cubic interpolates over 4×4 pixels and repeats those at the edges of the image, as PaddleOCR does; else it is linear, and black outside
	// of the image.
	Cubic bool
	Turns int // quarter turns counterclockwise, afterwards
}

// Warp returns a crop of an image that DecodeWhole has returned, by OpenCV's warpPerspective.
func (img *Image) Warp(w Warping) (*Image, error) {
	cols, rows := img.mat.Cols(), img.mat.Rows()
	if w.Width < 1 || w.Height < 1 || w.Width*w.Height > maxGrowth*cols*rows+maxSmall {
		return nil, apierror.New(apierror.Internal, "a crop of %d×%d pixels is empty, or too large for an image of %d×%d", w.Width, w.Height, cols, rows)
	}
	transform := gocv.NewMatWithSize(3, 3, gocv.MatTypeCV64F)
	defer transform.Close()
	for i, v := range w.ToCrop.Times(fromStored(cols, rows, img.orientation)) {
		transform.SetDoubleAt(i/3, i%3, v)
	}
	interpolation, border := gocv.InterpolationLinear, gocv.BorderConstant
	if w.Cubic {
		interpolation, border = gocv.InterpolationCubic, gocv.BorderReplicate
	}
	dst := own(gocv.NewMat())
	if err := gocv.WarpPerspectiveWithParams(img.mat.Mat, &dst.Mat, transform, image.Pt(w.Width, w.Height), interpolation, border, color.RGBA{}); err != nil {
		dst.free()
		return nil, apierror.Wrap(apierror.Internal, err, "the image cannot be cropped to %d×%d pixels", w.Width, w.Height)
	}
	orientation := [...]int{1, 8, 3, 6}[w.Turns%4]
	size := image.Pt(w.Width, w.Height)
	if w.Turns%2 == 1 {
		size = image.Pt(w.Height, w.Width)
	}
	_, x, y := axes(orientation)
	if orientation >= 5 {
		x, y = y, x
	}
	return &Image{mat: dst, orientation: orientation, size: geometry.Image{Width: size.X, Height: size.Y, Shrink: 1, FlippedX: x, FlippedY: y}}, nil
}

// A crop may have so many times the pixels of its image, and a small one more: corners may lie outside of the image.
const (
	maxGrowth = 2
	maxSmall  = 1 << 20
)

// fromStored maps the pixels of a stored image of w×h to the orientation-corrected one.
func fromStored(w, h, orientation int) geometry.Matrix {
	transposed, flipX, flipY := axes(orientation) // after it is transposed; see storedBox
	m := geometry.Matrix{1, 0, 0, 0, 1, 0, 0, 0, 1}
	if flipX {
		m[0], m[2] = -1, float64(w-1)
	}
	if flipY {
		m[4], m[5] = -1, float64(h-1)
	}
	if transposed {
		m = geometry.Matrix{0, 1, 0, 1, 0, 0, 0, 0, 1}.Times(m)
	}
	return m
}

// QuadSize returns the size of the crop of four corners, which go around it from its upper left one: the longer of two opposite sides, as
// get_rotate_crop_image of PaddleOCR (tools/infer/utility.py) has it.
func QuadSize(corners [4]geometry.Point) (width, height int) {
	side := func(a, b geometry.Point) float64 {
		return math.Hypot(float64(float32(a[0]-b[0])), float64(float32(a[1]-b[1])))
	}
	width = int(max(side(corners[0], corners[1]), side(corners[2], corners[3])))
	height = int(max(side(corners[0], corners[3]), side(corners[1], corners[2])))
	return max(width, 1), max(height, 1)
}
