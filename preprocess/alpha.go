package preprocess

import (
	"context"
	"strings"

	"gocv.io/x/gocv"

	"fovea/internal/repository"
	"fovea/preprocess/bmp"
	"fovea/preprocess/gif"
	"fovea/preprocess/header"
	"fovea/preprocess/heif"
	"fovea/preprocess/png"
	"fovea/preprocess/tiff"
	"fovea/preprocess/webp"
)

// opaque is the alpha of an image without transparency.
const opaque = 255

// hasAlpha reports whether an image may have alpha that the input takes.
func hasAlpha(data []byte, info header.Info) bool {
	switch info.Format {
	case header.JPEG:
		return false
	case header.WebP:
		return info.Channels == 4 || header.AlphaChunk(data, info) != nil
	}
	return true // or its decoder says that it is opaque
}

// decodeAlpha decodes the alpha of an image for an input of four channels. It repeats each value three times, so that alpha
// is resized by the same code as colors.
func (img *Image) decodeAlpha(ctx context.Context, data []byte, info header.Info, p *Plan) error {
	if p.input.Channels() != 4 || !hasAlpha(data, info) {
		return nil
	}
	w, h := img.storedSize(info)
	img.alpha = own(gocv.NewMatWithSizes([]int{h, w}, gocv.MatTypeCV8UC3)) // not initialized; discarded after an error
	pixels, err := img.alpha.DataPtrUint8()
	if err != nil {
		return err
	}
	var opaque bool
	switch info.Format {
	case header.WebP:
		err = webp.DecodeAlpha(ctx, header.Chunk(data, info), header.AlphaChunk(data, info), pixels, w, h)
	case header.BMP:
		opaque, err = bmp.DecodeAlpha(ctx, data, pixels, w, h)
	case header.GIF:
		opaque, err = gif.DecodeAlpha(ctx, data, pixels, w, h)
	case header.TIFF:
		opaque, err = tiff.DecodeAlpha(ctx, data, pixels, w, h)
	case header.AVIF, header.HEIC:
		opaque, err = heif.DecodeAlpha(ctx, data, pixels, w, h)
	default:
		opaque, err = png.DecodeAlpha(ctx, data, pixels, w, h)
	}
	if opaque || err != nil {
		img.alpha.free()
	}
	return err
}

// multiply multiplies the colors of an image that is resized as Pillow does by their alpha, once, so that transparent pixels count less
// (Image.resize in PIL/Image.py). It reports whether the resized colors are to be divided by it.
func (p *Plan) multiply(img *Image) (bool, error) {
	resizes := img.alpha.Ptr() != nil && !p.resampling(img, img.mat.Cols(), img.mat.Rows()).unchanged()
	if !resizes || !strings.HasPrefix(p.input.Interpolation, "pillow_") || p.input.Interpolation == repository.PillowNearest {
		return false, nil
	}
	if img.multiplied {
		return true, nil
	}
	colors, err := img.mat.DataPtrUint8()
	if err != nil {
		return false, err
	}
	alpha, err := img.alpha.DataPtrUint8()
	if err != nil {
		return false, err
	}
	img.multiplied = true
	for i, a := range alpha { // rgba2rgbA in src/libImaging/Convert.c
		product := uint32(colors[i])*uint32(a) + 128
		colors[i] = byte((product>>8 + product) >> 8)
	}
	return true, nil
}

// divide divides colors by their alpha (rgbA2rgba in src/libImaging/Convert.c).
func divide(colors, alpha []byte) {
	for i, a := range alpha {
		if a != 0 && a != opaque {
			colors[i] = byte(min(opaque, opaque*uint32(colors[i])/uint32(a)))
		}
	}
}

// alphaPacker packs images into an input of four channels, the last of which is alpha.
type alphaPacker[T element] struct {
	*colorPacker[T]
	alpha     [256]T // what each alpha becomes
	alphaFill T
}

func newAlphaPacker[T element](in repository.Input, normalize func(int, float64) T) *alphaPacker[T] {
	p := &alphaPacker[T]{colorPacker: newColorPacker(in, normalize), alphaFill: normalize(3, perChannel(in.Fill)[3])}
	for i := range p.alpha {
		p.alpha[i] = normalize(3, float64(i))
	}
	return p
}

func (p *alphaPacker[T]) pack(f frame, row []byte) {
	out := elements[T](row)
	if p.interleaved {
		p.packInterleaved(f, out)
		return
	}
	area := f.size.X * f.size.Y
	p.packPlanes(f, out[:3*area])
	p.packAlpha(f, out[3*area:])
}

// packAlpha writes the plane of alpha.
func (p *alphaPacker[T]) packAlpha(f frame, plane []T) {
	fillAround(plane, f.size.X, f.target, p.alphaFill)
	for y := f.target.Min.Y; y < f.target.Max.Y; y++ {
		line := plane[y*f.size.X+f.target.Min.X:][:f.target.Dx()]
		if f.alpha.pixels == nil {
			set(line, p.alpha[opaque])
			continue
		}
		from := f.alpha.origin + (y-f.target.Min.Y)*f.alpha.down
		for x := range line {
			line[x] = p.alpha[f.alpha.pixels[from]]
			from += f.alpha.right
		}
	}
}

// packInterleaved writes nhwc: the four channels of a pixel next to each other.
func (p *alphaPacker[T]) packInterleaved(f frame, out []T) {
	target, b, g, r := f.target, p.channel[0], p.channel[1], p.channel[2]
	for y := range f.size.Y {
		line := out[4*y*f.size.X:][:4*f.size.X]
		for x := range f.size.X {
			to := line[4*x : 4*x+4]
			column, row := x-target.Min.X, y-target.Min.Y
			if column < 0 || row < 0 || x >= target.Max.X || y >= target.Max.Y {
				to[0], to[1], to[2], to[3] = p.fill[0], p.fill[1], p.fill[2], p.alphaFill
				continue
			}
			pixel := f.color.pixels[f.color.origin+column*f.color.right+row*f.color.down:][:3]
			to[b], to[g], to[r], to[3] = p.blue[pixel[0]], p.green[pixel[1]], p.red[pixel[2]], p.alpha[opaque]
			if f.alpha.pixels != nil {
				to[3] = p.alpha[f.alpha.pixels[f.alpha.origin+column*f.alpha.right+row*f.alpha.down]]
			}
		}
	}
}
