package preprocess

import (
	"context"
	"errors"
	"image"

	"gocv.io/x/gocv"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/bmp"
	"fovea/preprocess/geometry"
	"fovea/preprocess/gif"
	"fovea/preprocess/header"
	"fovea/preprocess/heif"
	"fovea/preprocess/jpeg"
	"fovea/preprocess/png"
	"fovea/preprocess/tiff"
	"fovea/preprocess/webp"
)

// Image is a decoded image: 8 bits per channel, blue, green and red, in its stored orientation, possibly shrunk by the
// decoder. Only the pixels that its plan reads are defined. It holds native memory until Close. It is not safe for
// concurrent use, and belongs to the plan that decoded it.
type Image struct {
	mat         native
	alpha       native // of an input of four channels; empty if the image is opaque
	multiplied  bool   // the colors are multiplied by their alpha
	orientation int
	size        geometry.Image  // orientation-corrected
	area        image.Rectangle // see Area
	whole       image.Point
}

// Close frees the image. It may be called twice.
func (img *Image) Close() {
	img.mat.free()
	img.alpha.free()
}

// Decode decodes an image whose header was read and is within the limits. With decode: fast, a JPEG that is much larger than
// the input is decoded at 1/2, 1/4 or 1/8, but to at least twice the target size, and only where that keeps the image's edges. Alpha is
// dropped unless the input takes it, 16 bits are reduced to 8, and gray, palettes and CMYK become three channels. The error
// is an *apierror.Error with code Undecodable for a corrupt image, or that of ctx: decoding stops soon after ctx ends. data is
// not kept.
func (p *Plan) Decode(ctx context.Context, data []byte, info header.Info) (*Image, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(data) == 0 || info.Width < 1 || info.Height < 1 {
		return nil, apierror.New(apierror.Internal, "cannot decode an image without its header")
	}
	img := newImage(info, p.shrink(info))
	if err := img.decode(ctx, data, info, p); err != nil {
		img.Close()
		return nil, err
	}
	return img, nil
}

// decode fills the pixels that the plan reads.
func (img *Image) decode(ctx context.Context, data []byte, info header.Info, p *Plan) error {
	err := img.fill(ctx, data, info, p)
	if err == nil {
		err = img.decodeAlpha(ctx, data, info, p)
	}
	if ended := ctx.Err(); ended != nil && err != nil {
		return ended
	}
	_, reported := errors.AsType[*apierror.Error](err)
	switch {
	case errors.Is(err, png.ErrTruncated), errors.Is(err, jpeg.ErrTruncated), errors.Is(err, gif.ErrTruncated):
		return apierror.Wrap(apierror.Undecodable, err, "%s is truncated: its end is missing", info.Format)
	case reported:
		return err
	case err != nil:
		return apierror.Wrap(apierror.Undecodable, err, "%s is corrupt: its image data cannot be decoded", info.Format)
	case info.Frame.Empty():
		return nil
	}
	return img.onCanvas(info, p)
}

// onCanvas copies the image, the first frame of an animation, to its position on the canvas. The rest of the canvas is
// black, and transparent if the file says that it has transparent pixels.
func (img *Image) onCanvas(info header.Info, p *Plan) error {
	if info.Frame.Size() == image.Pt(info.Width, info.Height) {
		return nil
	}
	if p.input.Channels() == 4 && info.Transparent() && img.alpha.Ptr() == nil {
		img.alpha = own(gocv.NewMatWithSizeFromScalar(gocv.NewScalar(opaque, opaque, opaque, 0), img.mat.Rows(), img.mat.Cols(), gocv.MatTypeCV8UC3))
	}
	for _, mat := range []*native{&img.mat, &img.alpha} {
		if mat.Ptr() == nil {
			continue
		}
		canvas := own(gocv.NewMatWithSizeFromScalar(gocv.Scalar{}, info.Height, info.Width, gocv.MatTypeCV8UC3))
		frame := own(canvas.Region(info.Frame))
		err := mat.CopyTo(&frame.Mat)
		frame.free()
		if err != nil {
			canvas.free()
			return apierror.Wrap(apierror.Internal, err, "the first frame cannot be copied to its canvas")
		}
		mat.free()
		*mat = canvas
	}
	return nil
}

// fill decodes into a new matrix.
func (img *Image) fill(ctx context.Context, data []byte, info header.Info, p *Plan) error {
	w, h := img.storedSize(info)
	img.mat = own(gocv.NewMatWithSizes([]int{h, w}, gocv.MatTypeCV8UC3)) // not initialized; discarded after an error
	pixels, err := img.mat.DataPtrUint8()
	if err != nil {
		return err
	}
	switch info.Format {
	case header.PNG:
		return png.Decode(ctx, data, pixels, w, h)
	case header.BMP:
		return bmp.Decode(ctx, data, pixels, w, h)
	case header.WebP:
		return webp.Decode(ctx, header.Chunk(data, info), pixels, w, h)
	case header.GIF:
		return gif.Decode(ctx, data, pixels, w, h)
	case header.TIFF:
		return tiff.Decode(ctx, data, pixels, w, h)
	case header.AVIF, header.HEIC:
		return heif.Decode(ctx, data, pixels, w, h)
	}
	columns := p.resampling(img, w, h).sourceRect()
	return jpeg.Decode(ctx, header.Chunk(data, info), img.size.Shrink, pixels, w, h, columns.Min.X, columns.Max.X)
}

// storedSize returns the size of the decoded image in its stored orientation.
func (img *Image) storedSize(info header.Info) (w, h int) {
	coded, shrink := info.Coded(), img.size.Shrink
	return (coded.X + shrink - 1) / shrink, (coded.Y + shrink - 1) / shrink
}

// shrink returns the factor by which the decoder shrinks the image: 1, 2, 4 or 8. Only libjpeg saves time this way.
func (p *Plan) shrink(info header.Info) int {
	if info.Format != header.JPEG || p.input.Decode != repository.DecodeFast {
		return 1
	}
	w, h := info.OrientedSize()
	target := geometry.TargetSize(&p.input, w, h)
	for shrink := 8; shrink > 1; shrink /= 2 {
		withinPixels := w%shrink > 0 || h%shrink > 0
		if w/shrink >= 2*target.X && h/shrink >= 2*target.Y && p.scaler.reduces(withinPixels) && p.keepsEdges(info, shrink) {
			return shrink
		}
	}
	return 1
}

// keepsEdges reports whether the last column and row of a JPEG decoded at 1/shrink, if the plan reads them, hold the
// image's own pixels. A side that shrink does not divide ends within a pixel, which also averages columns beyond the image.
// Encoders fill these with copies of the last column, so that the mean is right only if one column of the image is in it,
// or two in all.
func (p *Plan) keepsEdges(info header.Info, shrink int) bool {
	restX, restY := info.Width%shrink, info.Height%shrink
	if shrink == 2 || restX <= 1 && restY <= 1 {
		return true
	}
	img := newImage(info, shrink)
	w, h := img.storedSize(info)
	source := p.resampling(img, w, h).sourceRect()
	return (restX <= 1 || source.Max.X < w) && (restY <= 1 || source.Max.Y < h)
}

// newImage returns an image that will be decoded at 1/shrink.
func newImage(info header.Info, shrink int) *Image {
	w, h := info.OrientedSize()
	transposed, x, y := axes(info.Orientation)
	if transposed {
		x, y = y, x
	}
	return &Image{orientation: info.Orientation, size: geometry.Image{Width: w, Height: h, Shrink: shrink, FlippedX: x, FlippedY: y}}
}
