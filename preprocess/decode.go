package preprocess

import (
	"context"
	"errors"
	"image"

	"gocv.io/x/gocv"

	"fovea/internal/apierror"
	"fovea/preprocess/bmp"
	"fovea/preprocess/geometry"
	"fovea/preprocess/header"
	"fovea/preprocess/jpeg"
	"fovea/preprocess/png"
	"fovea/preprocess/webp"
)

// Image is a decoded image: 8 bits a channel, blue, green and red, as stored (not yet turned upright), possibly
// shrunk by the decoder, and filled only where the plan looks. It holds native memory until Close. It is for one goroutine
// at a time, and for the plan that decoded it.
type Image struct {
	mat         native
	orientation int
	size        geometry.Image // as a person sees it
}

// Close frees the image. It may be called twice.
func (pic *Image) Close() { pic.mat.free() }

// Decode decodes an image whose header has been read and is within the limits. A JPEG that is much larger than
// the plan needs is decoded at 1/2, 1/4 or 1/8, never below twice what is needed, and only so far that the image's edges
// are its own. Alpha is dropped, 16 bits are
// brought to 8, and grey, palettes and CMYK become three channels. The error is a *fault.Fault with code
// Undecodable for a broken image, or ctx's error: decoding ends soon after ctx has. data is not kept.
func (p *Plan) Decode(ctx context.Context, data []byte, info header.Info) (*Image, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(data) == 0 || info.Width < 1 || info.Height < 1 {
		return nil, apierror.New(apierror.Internal, "an image was to be decoded whose header had not been read")
	}
	pic := p.sized(info, p.shrink(info))
	pic.mat = newNative()
	if err := pic.decode(ctx, data, info, p); err != nil {
		pic.Close()
		return nil, err
	}
	return pic, nil
}

// decode fills the image where the plan looks.
func (pic *Image) decode(ctx context.Context, data []byte, info header.Info, p *Plan) error {
	err := pic.fill(ctx, data, info, p)
	if ended := ctx.Err(); ended != nil && err != nil {
		return ended
	}
	var told *apierror.Error
	switch {
	case errors.Is(err, png.ErrCut), errors.Is(err, jpeg.ErrCutShort):
		return apierror.Wrap(apierror.Undecodable, err, "%s is cut short: its end is missing", info.Format)
	case errors.As(err, &told):
		return err
	case err != nil:
		return apierror.Wrap(apierror.Undecodable, err, "%s is broken: its image data cannot be decoded", info.Format)
	case info.Frame.Empty():
		return nil
	}
	return pic.onCanvas(info)
}

// onCanvas puts the image, a frame of an animation, in its place on the canvas. Around it the canvas is black, as
// what is transparent there is to who does not look at alpha.
func (pic *Image) onCanvas(info header.Info) error {
	if info.Frame.Size() == image.Pt(info.Width, info.Height) {
		return nil
	}
	canvas := own(gocv.NewMatWithSizeFromScalar(gocv.Scalar{}, info.Height, info.Width, gocv.MatTypeCV8UC3))
	place := own(canvas.Region(info.Frame))
	defer place.free()
	if err := pic.mat.CopyTo(&place.Mat); err != nil {
		canvas.free()
		return apierror.Wrap(apierror.Internal, err, "the first frame cannot be put on its canvas")
	}
	pic.mat.free()
	pic.mat = canvas
	return nil
}

// fill decodes into a new matrix.
func (pic *Image) fill(ctx context.Context, data []byte, info header.Info, p *Plan) error {
	w, h := pic.stored(info)
	pic.mat.free()
	pic.mat = own(gocv.NewMatWithSizes([]int{h, w}, gocv.MatTypeCV8UC3)) // not initialised; an error leaves it unseen
	pixels, err := pic.mat.DataPtrUint8()
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
	}
	seen := p.resizing(pic, p.spec.Place(pic.size), w, h).looksAt()
	return jpeg.Decode(ctx, header.Chunk(data, info), pic.size.Shrink, pixels, w, h, seen.Min.X, seen.Max.X)
}

// stored is the size of the decoded image as it is stored.
func (pic *Image) stored(info header.Info) (w, h int) {
	coded, shrink := info.Coded(), pic.size.Shrink
	return (coded.X + shrink - 1) / shrink, (coded.Y + shrink - 1) / shrink
}

// shrink is how many times smaller the image may be decoded: 1, 2, 4 or 8. Only libjpeg saves time this way. A scaler
// that picks pixels gets them all.
func (p *Plan) shrink(info header.Info) int {
	if info.Format != header.JPEG || p.scaler.grow == nearestExact {
		return 1
	}
	w, h := info.Seen()
	needW, needH := p.spec.Needs(w, h)
	for shrink := 8; shrink > 1; shrink /= 2 {
		if w/shrink >= 2*needW && h/shrink >= 2*needH && p.edgesHold(info, shrink) {
			return shrink
		}
	}
	return 1
}

// edgesHold says whether the last column and row of a JPEG decoded at 1/shrink are those of the image, where the plan
// looks at them. A side that shrink does not divide ends within a pixel, in which columns are mixed that a person does not
// see: encoders make them of the last one, so that it is the mean of the seen ones only if it holds one of these, or two
// pixels in all.
func (p *Plan) edgesHold(info header.Info, shrink int) bool {
	restX, restY := info.Width%shrink, info.Height%shrink
	if shrink == 2 || restX <= 1 && restY <= 1 {
		return true
	}
	pic := p.sized(info, shrink)
	w, h := pic.stored(info)
	seen := p.resizing(pic, p.spec.Place(pic.size), w, h).looksAt()
	return (restX <= 1 || seen.Max.X < w) && (restY <= 1 || seen.Max.Y < h)
}

// sized is an image that is to be decoded at 1/shrink.
func (p *Plan) sized(info header.Info, shrink int) *Image {
	w, h := info.Seen()
	pic := &Image{orientation: info.Orientation, size: geometry.Image{Width: w, Height: h, Shrink: shrink}}
	pic.size.FlippedX, pic.size.FlippedY = flipped(info.Orientation)
	return pic
}
