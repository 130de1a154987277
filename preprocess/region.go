package preprocess

import (
	"context"
	"image"

	"gocv.io/x/gocv"

	"fovea/internal/apierror"
	"fovea/preprocess/header"
)

// DecodeWhole works like Decode, for an image of which regions are packed: all of it is decoded, at its own size.
func (p *Plan) DecodeWhole(ctx context.Context, data []byte, info header.Info) (*Image, error) {
	return p.decode(ctx, data, info, 1, true)
}

// Region copies a rectangle of an image that DecodeWhole made and that was not packed yet, in orientation-corrected pixels. The copy is
// separate: what is packed from it depends on no pixel outside. It must be closed. Regions of an
// image may be copied concurrently.
func (img *Image) Region(r image.Rectangle) (*Image, error) {
	if r.Empty() || !r.In(image.Rect(0, 0, img.size.Width, img.size.Height)) {
		return nil, apierror.New(apierror.Internal, "%v is not within the image of %d×%d pixels", r, img.size.Width, img.size.Height)
	}
	if !img.whole || img.multiplied {
		return nil, apierror.New(apierror.Internal, "a region needs an image that was decoded as a whole and not packed")
	}
	part := &Image{orientation: img.orientation, size: img.size, whole: true}
	part.size.Width, part.size.Height = r.Dx(), r.Dy()
	stored := storedRect(r, img.mat.Cols(), img.mat.Rows(), img.orientation)
	if r.Size() == image.Pt(img.size.Width, img.size.Height) && img.alpha.Ptr() == nil { // packing changes only colors with alpha
		part.mat = own(img.mat.Region(stored))
		return part, nil
	}
	var err error
	if part.mat, err = copied(img.mat, stored); err == nil && img.alpha.Ptr() != nil {
		part.alpha, err = copied(img.alpha, stored)
	}
	if err != nil {
		part.Close()
		return nil, apierror.Wrap(apierror.Internal, err, "the part %v of the image cannot be copied", r)
	}
	return part, nil
}

// copied copies a rectangle to a new matrix.
func copied(mat native, r image.Rectangle) (native, error) {
	region, to := own(mat.Region(r)), own(gocv.NewMat())
	defer region.free()
	if err := region.CopyTo(&to.Mat); err != nil {
		to.free()
		return native{}, err
	}
	return to, nil
}
